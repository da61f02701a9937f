"""In which order images come, as a pure function of seed, epoch and process."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

LANES, DEEP = 8, 4  # a window of the training order of a chunked set: lanes side by side, chunks of each


class Share(NamedTuple):
    """Which of the processes this is."""

    rank: int = 0
    world: int = 1


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) of the training images in a random order that seed and epoch alone decide.

    Starts at `epoch` after `skip` images, so a resumed run goes on where the interrupted one stopped. Every process has
    equally many images (the first ones of the order fill up). len() counts the whole epoch.
    """

    def __init__(self, count: int, seed: int, share: Share, epoch: int = 0, skip: int = 0):
        self.count, self.seed, self.share, self.epoch, self.skip = count, seed, share, epoch, skip

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch; what was skipped belongs to the first one only."""
        if epoch != self.epoch:
            self.epoch, self.skip = epoch, 0

    def __len__(self) -> int:
        return -(-self.count // self.share.world)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(self.count, generator=generator)
        total = len(self) * self.share.world
        order = order.repeat(-(-total // self.count))[:total]
        for index in order[self.share.rank :: self.share.world][self.skip :].tolist():
            yield epoch, index


class WindowSampler(EpochSampler):
    """The same for images in chunks that follow one another, counts[i] of them in the i-th: never all indices at once.

    Seed and epoch order the chunks at random; 32 of them at a time are a window, and its images are shuffled. So images
    are neighbors of other ones in every epoch, as far as 32 chunks of a thousand reach, but those of one chunk always
    come within the same window: this is less than a full shuffle, and enough only because job=convert lays images
    into chunks at random. A window's chunks lie in 8 lanes that take turns. Where the number of processes divides 8
    each has lanes of its own, so it reads its share of the chunks only (but for the ends of lanes), and the order of
    all together is the same for any number of processes.
    """

    def __init__(self, counts: np.ndarray, seed: int, share: Share, epoch: int = 0, skip: int = 0):
        super().__init__(int(counts.sum()), seed, share, epoch, skip)
        self.counts = counts

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, skip, start = self.epoch, self.skip, 0
        total, (rank, world) = len(self) * self.share.world, self.share
        while start < total:  # more than once where there are fewer images than processes
            for window in self._windows(epoch):
                window = window[: total - start]
                mine = window[(rank - start) % world :: world]
                start += len(window)
                for index in mine[skip:].tolist():
                    yield epoch, index
                skip = max(0, skip - len(mine))

    def _windows(self, epoch: int) -> Iterator[np.ndarray]:
        """Indices of one window after the other, [n] int64."""
        draw = np.random.default_rng([self.seed, epoch])
        starts, order = np.cumsum(self.counts) - self.counts, draw.permutation(len(self.counts))
        for first in range(0, len(order), LANES * DEEP):
            window, lanes = order[first : first + LANES * DEEP], list[np.ndarray]()
            for lane in range(LANES):
                images = [np.arange(starts[i], starts[i] + self.counts[i]) for i in window[lane::LANES]]
                lanes.append(draw.permutation(np.concatenate([np.empty(0, np.int64), *images])))
            even = min(map(len, lanes))
            yield np.stack([lane[:even] for lane in lanes], 1).reshape(-1)
            yield draw.permutation(np.concatenate([lane[even:] for lane in lanes]))


class OrderedShare(Sampler[int]):
    """This process's part of 0 ... count - 1 in rising order: every index in exactly one process."""

    def __init__(self, count: int, share: Share):
        self.indices = range(share.rank, count, share.world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
