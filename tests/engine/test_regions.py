"""Regions against cutting one by one from maps with wide borders; spans against the derivatives of the operations."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as draws

from convscope.engine.calls import Window
from convscope.engine.reach import Scaling, changed_above, span_below
from convscope.engine.regions import MapTensor, Regions, Span, around, cut_regions, recut, whole_map
from random_settings import tried

SIZE, MAP, ROOM = (5, 4), (9, 8), 60
APART = torch.tensor([-3, 2, 6, -20, 4, 0]), torch.tensor([5, 0, -2, 3, 40, 0])


def regions(rows, cols, size=SIZE):
    return Regions(Span(torch.as_tensor(rows), size[0]), Span(torch.as_tensor(cols), size[1]))


def cut_one_by_one(maps, target, fill):
    wide = F.pad(maps, [ROOM] * 4, value=fill)
    places = zip(range(len(maps)), target.rows.start + ROOM, target.cols.start + ROOM, strict=True)
    return torch.stack([wide[n, ..., r : r + target.rows.size, c : c + target.cols.size] for n, r, c in places])


def test_cut():
    maps, which = torch.randn(3, 2, *MAP), torch.tensor([0, 2, 1, 1, 0, 2])
    target = regions(*APART)
    assert torch.equal(cut_regions(maps, which, target, fill=7), cut_one_by_one(maps[which], target, 7))


STARTS = draws.lists(draws.integers(-14, 14), min_size=6, max_size=6)


@tried(60)
@given(STARTS, STARTS, STARTS, STARTS, draws.booleans(), draws.integers(1, 14), draws.sampled_from([(2, 3), (1, 2)]))
def test_recut_is_from_region_to_region_of_the_same_map(top, left, to_top, to_left, alike, size, axes):
    """Regions before, after, over and inside one another, at one offset or at several, rows and columns anywhere."""
    source = regions(top, left, (7, 6))
    x = torch.randn(6, 2, 7, 6)
    target = regions(to_top, to_left, (size, 9))
    if alike:
        target = regions(source.rows.start + to_top[0], source.cols.start + to_left[0], (size, 9))
    offset = Regions(*(Span(to.start - of.start, to.size) for of, to in zip(source, target, strict=True)))
    expected = cut_one_by_one(x, offset, -torch.inf)
    cut = recut(x.movedim((2, 3), axes), source, target, -torch.inf, axes)
    assert torch.equal(cut.movedim(axes, (2, 3)), expected)


def test_whole_maps_and_the_same_regions_are_not_cut():
    x = torch.randn(6, 2, *SIZE)
    assert recut(x, regions(*APART), regions(*APART)) is x
    assert torch.equal(recut(x, whole_map(6, SIZE), whole_map(6, SIZE)), x)


def test_regions_inside_the_maps():
    inside = Regions(
        *(span.inside(limit) for span, limit in zip(regions([-3, 0, 7], [0, 4, -9], (5, 5)), (9, 20), strict=True))
    )
    assert inside.rows.start.tolist() == [0, 0, 4] and inside.rows.size == 5  # the second needs all of its rows
    shorter = Regions(
        *(span.inside(limit) for span, limit in zip(regions([-3, 7], [-1, 18], (5, 5)), (9, 20), strict=True))
    )
    assert shorter.size == (2, 4) and shorter.rows.start.tolist() == [0, 7]
    assert shorter.cols.start.tolist() == [0, 16]


@tried(60)
@given(STARTS, draws.integers(1, 12), draws.integers(1, 16))
def test_a_span_without_what_is_outside_keeps_what_is_inside(starts, size, limit):
    """Both ways to cut a span keep each unit's positions on the map; `inside` leaves no other ones."""
    span = Span(torch.tensor(starts), size)
    inside, trimmed = span.inside(limit), span.trimmed(limit)
    for start, *cut in zip(starts, inside.start.tolist(), trimmed.start.tolist(), strict=True):
        on_map = set(range(start, start + size)) & set(range(limit))
        for shorter, first in zip((inside, trimmed), cut, strict=True):
            assert on_map <= set(range(first, first + shorter.size))
    assert not inside.leaves(limit) and inside.size <= min(size, limit) and trimmed.size <= size


def test_regions_lose_what_is_outside_for_all_units():
    spans = regions([-3, -1], [2, 11], (5, 5)).trimmed((9, 20))
    assert spans.rows.start.tolist() == [-2, 0] and spans.rows.size == 4
    assert spans.cols.start.tolist() == [2, 11] and spans.cols.size == 5
    apart = Span(torch.tensor([-1, 3]), 9).trimmed(40)  # cut for one unit only: both keep their offset
    assert apart.start.tolist() == [-1, 3] and apart.size == 9 and apart.leaves(40)
    shorter = Span(torch.tensor([-9, 3]), 12).trimmed(12)
    assert shorter.start.tolist() == [0, 3] and shorter.size == 9


def test_values_outside_the_maps_are_filled():
    maps = torch.randn(2, 3, 5, 4)
    for x in (maps, maps.contiguous(memory_format=torch.channels_last)):
        filled = MapTensor(1, (1, 3, 9, 8), (2, 3)).fill_outside_(x.clone(), regions([-2, 6], [0, 6], (5, 4)), 7.0)
        assert (filled[0, :, :2] == 7).all() and torch.equal(filled[0, :, 2:], maps[0, :, 2:])
        assert (filled[1, :, 3:] == 7).all() and (filled[1, :, :, 2:] == 7).all()
        assert torch.equal(filled[1, :, :3, :2], maps[1, :, :3, :2])


def test_regions_around_others():
    both = around([regions([0, 5], [3, 3]), regions([4, 3], [3, 9])])
    assert both.rows.start.tolist() == [0, 3] and both.rows.size == 9
    assert both.cols.start.tolist() == [3, 3] and both.cols.size == 10


def test_shapes_of_regions():
    assert MapTensor(1, (1, 6, 9, 8), (2, 3)).region_shape(4, (2, 3)) == (4, 6, 2, 3)
    assert MapTensor(1, (1, 9, 8, 6), (1, 2)).region_shape(4, (2, 3)) == (4, 2, 3, 6)
    assert MapTensor(1, (1, 6), None).region_shape(4, (1, 1)) == (4, 6)
    assert MapTensor(1, (1, 6), None).sides == (1, 1)


LENGTH = 23
OPERATIONS = {  # along one axis: the reach, and the same operation in torch
    "window": (Window((3, 1), (2, 1), (1, 0), (2, 1)), lambda x: F.conv1d(x, torch.ones(1, 1, 3), None, 2, 1, 2)),
    "holes": (Window((2, 1), (3, 1), (0, 0), (1, 1)), lambda x: F.conv1d(x, torch.ones(1, 1, 2), None, 3)),
    "slice": (Window((1, 1), (2, 1), (-3, 0), (1, 1)), lambda x: x[..., 3::2]),
    "pad": (Window((1, 1), (1, 1), (2, 0), (1, 1)), lambda x: F.pad(x, (2, 1))),
    "nearest": (Scaling((3, 1), (3, 1), (0, 0)), lambda x: F.interpolate(x, scale_factor=3)),
    "linear": (
        Scaling((2, 1), (5, 1), (1, 0)),
        lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
    ),
    "transposed": (
        Scaling((2, 1), (5, 1), (1, 0)),
        lambda x: F.conv_transpose1d(x, torch.ones(1, 1, 5), None, 2, 1),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_spans_hold_what_depends_on_them(name):
    """Every position with a derivative is in the span; along windows the span is no larger."""
    reach, operation = OPERATIONS[name]
    table = torch.autograd.functional.jacobian(operation, torch.rand(1, 1, LENGTH))[0, 0, :, 0, 0] != 0
    for size in (1, 4):
        for start in range(len(table) - size + 1):
            span = span_below(reach, Span(torch.tensor([start]), size), 0, LENGTH)
            needed = table[start : start + size].any(0).nonzero()[:, 0]
            covered = range(int(span.start), int(span.start) + span.size)
            assert set(needed.tolist()) <= set(covered)
            if isinstance(reach, Window) and reach.kernel[0] <= reach.stride[0] and size == 1:
                assert set(covered) & set(range(LENGTH)) == set(needed.tolist())
    for first in range(LENGTH - 2):
        changed = table[:, first : first + 3].any(1).nonzero()[:, 0].tolist()
        low, high = changed_above(reach, torch.tensor([first]), torch.tensor([first + 2]), 0, len(table))
        assert set(changed) <= set(range(int(low), int(high) + 1))
