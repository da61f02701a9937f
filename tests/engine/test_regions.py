import torch
import torch.nn.functional as F

from convscope.engine.chain_steps import read_steps
from convscope.engine.deconvnet import Units
from convscope.engine.regions import Corner, cut_regions, field_regions, fill_outside_, paste_regions, regions_below
from convscope.engine.trace import trace
from engine.specimens import row_net

CORNER = Corner(torch.tensor([-3, 2, 6, -20, 4, 0]), torch.tensor([5, 0, -2, 3, 40, 0]))
SIZE, MAP, ROOM = (5, 4), (9, 8), 50


def windows_of(maps, fill):
    """The same regions, cut from maps with wide borders."""
    wide = F.pad(maps, [ROOM] * 4, value=fill)
    places = zip(range(6), CORNER.top + ROOM, CORNER.left + ROOM, strict=True)
    return torch.stack([wide[n, :, top : top + SIZE[0], left : left + SIZE[1]] for n, top, left in places])


def test_cut():
    maps = torch.randn(3, 2, *MAP)
    which = torch.tensor([0, 2, 1, 1, 0, 2])
    assert torch.equal(cut_regions(maps, which, CORNER, SIZE, fill=7), windows_of(maps[which], 7))


def test_paste_is_the_adjoint_of_cut():
    maps, windows = torch.randn(6, 2, *MAP), torch.randn(6, 2, *SIZE)
    pasted = paste_regions(windows, CORNER, MAP)
    assert pasted.shape == maps.shape
    torch.testing.assert_close(
        (pasted * maps).sum(), (windows * cut_regions(maps, torch.arange(6), CORNER, SIZE)).sum()
    )
    assert torch.equal(cut_regions(pasted, torch.arange(6), CORNER, SIZE), fill_outside_(windows.clone(), CORNER, MAP))


def test_fill_outside():
    windows = windows_of(torch.ones(6, 2, *MAP), 0)
    assert torch.equal(fill_outside_(torch.ones(6, 2, *SIZE), CORNER, MAP), windows)
    assert torch.equal(fill_outside_(torch.ones(6, 2, *SIZE), CORNER, MAP, -torch.inf).eq(1), windows.eq(1))


def levels(rows, cols, layer="conv4", image_size=152):
    """Regions of every map from the pixels to a layer, and the fields, for units at these positions."""
    net_trace = trace(row_net(image_size), (3, image_size, image_size))
    steps = read_steps(net_trace, layer, "deconvnet")
    maps = [tuple(net_trace.shapes[step.call.inputs[0]][2:]) for step in steps]
    top = tuple(net_trace.shapes[net_trace.layer(layer).output][2:])
    units = Units(*(torch.tensor(values) for values in ([0] * len(rows), [0] * len(rows), rows, cols)))
    windows = [step.window for step in steps]
    return regions_below(windows, maps, units, top), field_regions(windows, maps[0], units)


def test_in_the_middle_the_windows_are_the_fields():
    regions, (corner, size) = levels([4], [4])
    assert regions[0].size == size == (107, 107) and not regions[0].whole
    assert regions[0].corner.top == corner.top


def test_at_a_border_only_what_is_inside_is_left():
    regions, (corner, size) = levels([0, 0], [4, 4])
    assert size == (107, 107)
    assert regions[0].size[1] == 107 and regions[0].corner.top.tolist() == [0, 0]
    assert regions[0].size[0] == 107 + int(corner.top[0])
    for level in regions:
        assert int(level.corner.top.min()) >= 0 and int(level.corner.top.max()) + level.size[0] <= level.map[0]


def test_windows_cover_the_needs_of_all_picks():
    regions, (corner, size) = levels([0, 4], [4, 4])
    assert regions[0].size == (107, 107)  # the one in the middle needs all of its own


def test_a_field_larger_than_the_image_takes_whole_maps():
    regions, (corner, size) = levels([1, 0], [0, 1], image_size=64)
    assert regions[0].whole and regions[0].size == size == (64, 64)
    assert not regions[-1].whole and not corner.top.any()
