import pytest
import torch
from torch import nn

from convscope.engine.recomputation.changed_windows import GroupLimits, group_positions
from convscope.engine.recomputation.local_part import local_part
from convscope.engine.trace import PIXELS, trace

SIZE = (47, 64)


def adding_net():
    """Sums and means: every position that depends on a change shows it."""
    net = nn.Sequential(
        nn.Conv2d(3, 2, 3, 2, 2, 2), nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.Conv2d(2, 2, (3, 5), (1, 2), (1, 3)),
        nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(2, 2, 2, 1, 2),
    )  # fmt: skip
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    return net.double().eval()


def part_of(net):
    """The local part of a net, its step's work by multiplications, and the numbers of the layers' outputs."""
    whole = nn.Sequential(net, nn.Flatten(), nn.LazyLinear(2)).double()
    whole(torch.zeros(1, 3, *SIZE, dtype=torch.float64))
    part = local_part(trace(whole, (3, *SIZE)))
    return part, [step.work for step in part.steps], [PIXELS, *(step.output.number for step in part.steps)]


@pytest.mark.parametrize(
    "limits", [GroupLimits(1, 0.5), GroupLimits(5, 0.0), GroupLimits(5, 0.5), GroupLimits(16, 8), GroupLimits(99, 1e9)]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_windows_hold_all_that_a_square_changes(limits, axis):
    net, side, edges = adding_net(), 6, list(range(0, SIZE[axis] - 5, 3))
    part, work, numbers = part_of(net)
    groups = group_positions(edges, side, part, work, axis, limits)
    assert sorted(torch.cat([group.numbers for group in groups]).tolist()) == list(range(len(edges)))
    assert all(len(group.numbers) <= limits.size for group in groups)
    for group in groups:
        for place, number in enumerate(group.numbers.tolist()):
            x = torch.zeros(1, 3, *SIZE, dtype=torch.float64)
            base = x.clone()
            x.narrow(2 + axis, edges[number], side).fill_(1)
            for level, layer in enumerate(net, 1):
                x, base = layer(x), layer(base)
                changed = (x - base).abs().amax((0, 1, 3 - axis)).gt(1e-9).nonzero().flatten()
                run = group.windows[numbers[level]]
                start = int(run.start[place])
                assert start >= 0 and start + run.size <= x.shape[2 + axis]
                assert len(changed) == 0 or (start <= changed.min() and changed.max() < start + run.size)


def test_windows_are_no_larger_than_needed():
    """Positions 5 to 8 of a kernel of 3 with stride 2 and padding 1 depend on pixels 10 to 15; then 4 to 9."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 1, 1), nn.MaxPool2d(2)).double().eval()
    part, work, numbers = part_of(net)
    (group,) = group_positions([10], 6, part, work, 0, GroupLimits(1, 0.5))
    runs = [group.windows[number] for number in numbers]
    spans = [(int(run.start), int(run.start) + run.size - 1) for run in runs]
    assert spans == [(10, 15), (5, 8), (4, 9), (2, 4)]


def test_places_of_equal_cost_go_together():
    """Stride 4 in the net and 2 between positions: the windows of every second position have another size."""
    net = nn.Sequential(nn.Conv2d(3, 2, 4, 4)).double().eval()
    part, work, numbers = part_of(net)
    groups = group_positions(list(range(0, 40, 2)), 4, part, work, 1, GroupLimits(10, 0.5))
    assert [group.windows[numbers[1]].size for group in groups] == [1, 2]
    assert [group.numbers.tolist() for group in groups] == [list(range(0, 20, 2)), list(range(1, 20, 2))]


class Branches(nn.Module):
    """Two ways of different reach, added."""

    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Conv2d(3, 2, 3, 2, 1), nn.Conv2d(3, 2, 5, 2, 0)

    def forward(self, x):
        return self.near(x) + nn.functional.pad(self.far(x), (1, 1, 1, 1))[:, :, : (x.shape[2] + 1) // 2, :32]


def test_windows_of_branches_hold_both():
    """Pixels 10 to 15: positions 5 to 8 on the near way; 3 to 7 on the far way, moved by the padding to 4 to 8."""
    part, work, numbers = part_of(Branches().double())
    (group,) = group_positions([10], 6, part, work, 0, GroupLimits(1, 0.5))
    spans = [(int(run.start), int(run.start) + run.size - 1) for run in map(group.windows.__getitem__, numbers)]
    assert spans == [(10, 15), (5, 8), (3, 7), (4, 8), (4, 8), (4, 8)]
