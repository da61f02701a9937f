"""What is worth computing anew by windows, by counted work: multiplications, and values that are moved in memory.

A convolution's multiplications are its cost in windows as in full passes. Everything else costs about what it moves,
and windows must be gathered first, so a net is computed by windows only as far as that is less work.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import torch

from convscope.engine.reach import SAME, span_below
from convscope.engine.recomputation.changed_windows import changed_positions, sizes
from convscope.engine.recomputation.local_part import LocalPart
from convscope.engine.regions import Span
from convscope.engine.steps import Step, multiplications

VALUE = 30  # multiplications in the time in which one value is moved: an estimate for one CPU core, not fitted
ENOUGH = 0.85  # at most this share of a full pass; nets that would save less were slower by windows


class OccluderGrid(NamedTuple):
    """Occluders: squares of size x size pixels at all pairs of a top edge (rows) and a left edge (cols).

    value: of their pixels.
    """

    rows: list[int]
    cols: list[int]
    size: int
    value: float


class Work(NamedTuple):
    """Work for one image. values: moved in memory."""

    multiplications: float = 0.0
    values: float = 0.0

    @property
    def total(self) -> float:
        return self.multiplications + VALUE * self.values


def whole_work(step: Step) -> float:
    """Work of a step on windows that are whole maps."""
    gathered = sum(prod(below.shape) for below in step.inputs) if step.reach != SAME else 0
    return step.work + VALUE * (prod(step.output.shape) + 2 * gathered)


def full_work(part: LocalPart) -> Work:
    """Work of a full pass."""
    shapes = part.net_trace.shapes
    calls = [call for call in part.net_trace.calls if any(number in part.tensors for number in call.inputs)]
    return Work(
        sum(multiplications(call, shapes) for call in calls),
        sum(prod(shapes[number]) for call in calls for number in call.outputs),
    )


def worthwhile_part(part: LocalPart, grid: OccluderGrid) -> LocalPart | str:
    """As many of the first calls as are worth computing by windows, or the reason, for a caption, why none is."""
    if not part.ends:
        return "the net ends in maps"
    options = cut_works(part, grid)
    if part.calls and not options:
        return "the net writes over maps that share memory with others"
    full = full_work(part).total
    best = min(options, key=lambda count: options[count].total, default=0)
    if best and options[best].total < ENOUGH * full:
        return part.first(best)
    if _local_share(part) < 0.5:
        above = next(call for call in part.calls_above if set(call.inputs) & part.numbers)
        return f"most of the work lies above {above.name}, where all positions come together"
    return "the square changes most of what the net computes"


def cut_works(part: LocalPart, grid: OccluderGrid) -> dict[int, Work]:
    """Work for an occluder position, on average, by the number of first calls that are computed by windows."""
    windows = _mean_windows(part, grid)
    by_output = {step.output.number: _local_work(step, windows) for step in part.steps}
    whole, shapes, options = full_work(part), part.net_trace.shapes, {}
    saved = added = Work()
    for count, call in enumerate(part.calls, 1):
        full = Work(multiplications(call, shapes), sum(prod(shapes[number]) for number in call.outputs))
        saved = _sum(saved, full)
        for number in call.outputs:
            added = _sum(added, by_output[number])
        cut = part.first(count)
        if not cut.shares_overwritten_memory():
            ends = Work(0, 2 * sum(prod(shapes[number]) for number in cut.ends))
            options[count] = Work(*(a - b + c + d for a, b, c, d in zip(whole, saved, added, ends, strict=True)))
    return options


def _sum(one: Work, other: Work) -> Work:
    return Work(one.multiplications + other.multiplications, one.values + other.values)


def _local_share(part: LocalPart) -> float:
    """The part's share of the work of a full pass."""
    local = sum(step.work + VALUE * prod(step.output.shape) for step in part.steps)
    return local / full_work(part).total


def _mean_windows(part: LocalPart, grid: OccluderGrid) -> Mapping[int, tuple[float, float]]:
    """Rows and columns of the windows of every tensor, on average over the positions of the occluder."""
    axes = [
        {number: float(sizes(span).double().mean()) for number, span in changed.items()}
        for changed in (
            changed_positions(edges, grid.size, part.steps, axis) for axis, edges in enumerate((grid.rows, grid.cols))
        )
    ]
    return {number: (size, axes[1][number]) for number, size in axes[0].items()}


def _local_work(step: Step, windows: Mapping[int, tuple[float, float]]) -> Work:
    """Work of a step by windows."""
    window = windows[step.output.number]
    share = prod(window) / prod(step.output.sides)
    gathered = 0.0
    for below in step.inputs:
        if step.reach == SAME and windows[below.number] == window:
            continue
        area = [_length_below(step, size, axis, below.sides[axis]) for axis, size in enumerate(window)]
        gathered += prod(area) * prod(below.shape) / prod(below.sides)
    return Work(step.work * share, prod(step.output.shape) * share + 2 * gathered)


def _length_below(step: Step, size: float, axis: int, limit: int) -> int:
    assert step.reach is not None
    return span_below(step.reach, Span(torch.tensor([0]), max(1, round(size))), axis, limit).size
