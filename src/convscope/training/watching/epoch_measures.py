"""What analyses measure of each layer after an epoch: columns <column>/<layer> of metrics.csv."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor, nn

from convscope.analyses import abouts
from convscope.data.epoch_images import EpochImages

Memory = dict[str, Tensor]  # what a measure keeps from one epoch to the next


class MeasureEpoch(Protocol):
    """`measure_epoch` of an analysis' compute. memory: that of the epoch before, empty at the first one.

    Returns values by their columns, <column>/<layer>, and the memory for the next epoch, tensors on the CPU. Must be
    cheap beside an epoch of training: a fraction of a second for a small net. It leaves net and random numbers
    as they were; the net is in evaluation mode.
    """

    def __call__(
        self, net: nn.Module, images: EpochImages, layers: Sequence[str], memory: Mapping[str, Tensor]
    ) -> tuple[dict[str, float], Memory]: ...


class EpochMeasures:
    """The measures of one run, with their memories by job."""

    def __init__(self, jobs: Sequence[str]):
        self.jobs, self.memories = list(jobs), dict[str, Memory]()

    def __bool__(self) -> bool:
        return bool(self.jobs)

    def measure(self, net: nn.Module, images: EpochImages, layers: Sequence[str]) -> dict[str, float]:
        """The columns of all measures."""
        columns = dict[str, float]()
        for job, measure in _functions(self.jobs):
            of_job, self.memories[job] = measure(net, images, layers, self.memories.get(job, {}))
            columns |= of_job
        return columns


def _functions(jobs: Sequence[str]) -> Iterator[tuple[str, MeasureEpoch]]:
    """The function of each job, in the order of the analyses."""
    for folder, about in abouts().items():
        if about.job in jobs:
            module: Any = import_module(f"convscope.analyses.{folder}.compute")
            yield about.job, module.measure_epoch
