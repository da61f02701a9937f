import torch
import torch.nn.functional as F

from convscope.engine.windows_of_maps import Corner, cut, fill_outside_, paste

CORNER = Corner(torch.tensor([-3, 2, 6, -20, 4, 0]), torch.tensor([5, 0, -2, 3, 40, 0]))
SIZE, MAP, ROOM = (5, 4), (9, 8), 50


def windows_of(maps, fill):
    """The same from maps with wide borders."""
    wide = F.pad(maps, [ROOM] * 4, value=fill)
    places = zip(range(6), CORNER.top + ROOM, CORNER.left + ROOM, strict=True)
    return torch.stack([wide[n, :, top : top + SIZE[0], left : left + SIZE[1]] for n, top, left in places])


def test_cut():
    maps = torch.randn(3, 2, *MAP)
    which = torch.tensor([0, 2, 1, 1, 0, 2])
    assert torch.equal(cut(maps, which, CORNER, SIZE, fill=7), windows_of(maps[which], 7))


def test_paste_is_the_adjoint_of_cut():
    maps, windows = torch.randn(6, 2, *MAP), torch.randn(6, 2, *SIZE)
    pasted = paste(windows, CORNER, MAP)
    assert pasted.shape == maps.shape
    torch.testing.assert_close((pasted * maps).sum(), (windows * cut(maps, torch.arange(6), CORNER, SIZE)).sum())
    assert torch.equal(cut(pasted, torch.arange(6), CORNER, SIZE), fill_outside_(windows.clone(), CORNER, MAP))


def test_fill_outside():
    windows = windows_of(torch.ones(6, 2, *MAP), 0)
    assert torch.equal(fill_outside_(torch.ones(6, 2, *SIZE), CORNER, MAP), windows)
    assert torch.equal(fill_outside_(torch.ones(6, 2, *SIZE), CORNER, MAP, -torch.inf).eq(1), windows.eq(1))
