"""In which order images come, as a pure function of seed, epoch and process."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


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


class OrderedShare(Sampler[int]):
    """This process's part of 0 ... count - 1 in rising order: every index in exactly one process."""

    def __init__(self, count: int, share: Share):
        self.indices = range(share.rank, count, share.world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
