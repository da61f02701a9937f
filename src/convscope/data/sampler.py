"""The order of images, as a pure function of seed, epoch and process."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

LANES, LANE_CHUNKS = 8, 4  # of a window of the training order of a chunked set: parallel lanes, chunks in each


class Share(NamedTuple):
    """The part of one process among `world` processes."""

    rank: int = 0
    world: int = 1


def share_of(trainer: Any) -> Share:
    """The part of this process among those of Lightning's Trainer, if any, else among those of torch.distributed."""
    if trainer:
        return Share(trainer.global_rank, trainer.world_size)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return Share(torch.distributed.get_rank(), torch.distributed.get_world_size())
    return Share()


def progress_of(trainer: Any) -> tuple[int, int]:
    """The epoch that Lightning's Trainer is in or about to begin, and the number of its batches that are done."""
    if not trainer:
        return 0, 0
    loop = trainer.fit_loop
    epochs = loop.epoch_progress.current
    unfinished = epochs.started > epochs.processed
    return epochs.processed, loop.epoch_loop.batch_progress.current.ready if unfinished else 0


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) of the training images in a random order that depends on seed and epoch alone.

    Starts at `epoch` after `skip` images, so a resumed run continues where the interrupted one stopped. All processes
    have the same number of images (the first ones of the order fill up). len() counts the whole epoch.
    """

    def __init__(self, count: int, seed: int, share: Share, epoch: int = 0, skip: int = 0):
        self.count, self.seed, self.share, self.epoch, self.skip = count, seed, share, epoch, skip

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch; `skip` applies to the first epoch only."""
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
    """An EpochSampler for images in consecutive chunks, counts[i] images in the i-th; holds indices of one window only.

    Seed and epoch order the chunks at random; 32 chunks at a time are a window, and the images of a window are
    shuffled. Images get other neighbors in every epoch, but all images of a chunk come within the same window. This is
    less than a full shuffle, and enough because job=convert distributes images over chunks at random. The chunks of a
    window lie in 8 lanes that take turns. Where the number of processes divides 8, each process has lanes of its own
    and reads its share of the chunks only (except at the ends of lanes). The order of all processes together is the
    same for any number of processes.
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
                share = window[(rank - start) % world :: world]
                start += len(window)
                for index in share[skip:].tolist():
                    yield epoch, index
                skip = max(0, skip - len(share))

    def _windows(self, epoch: int) -> Iterator[np.ndarray]:
        """Indices of one window after the other, [n] int64."""
        draw = np.random.default_rng([self.seed, epoch])
        starts, order = np.cumsum(self.counts) - self.counts, draw.permutation(len(self.counts))
        for first in range(0, len(order), LANES * LANE_CHUNKS):
            window, lanes = order[first : first + LANES * LANE_CHUNKS], list[np.ndarray]()
            for lane in range(LANES):
                images = [np.arange(starts[i], starts[i] + self.counts[i]) for i in window[lane::LANES]]
                lanes.append(draw.permutation(np.concatenate([np.empty(0, np.int64), *images])))
            even = min(map(len, lanes))
            yield np.stack([lane[:even] for lane in lanes], 1).reshape(-1)
            yield draw.permutation(np.concatenate([lane[even:] for lane in lanes]))


class JoinedBatches(Sampler[list[tuple[int, int]]]):
    """Batches of a sampler. A last batch of one image is joined to the batch before, for nets that cannot take it."""

    def __init__(self, sampler: EpochSampler, batch_size: int):
        self.sampler, self.batch_size = sampler, batch_size

    def __len__(self) -> int:
        return max(1, (len(self.sampler) - 2) // self.batch_size + 1)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys, waiting = iter(self.sampler), list[tuple[int, int]]()
        while batch := list(islice(keys, self.batch_size)):
            if waiting and len(batch) > 1:
                yield waiting
                waiting = []
            waiting += batch
        if waiting:
            yield waiting


class BatchShare(Sampler[int]):
    """This process's part of `indices` in their order: whole batches, each of which belongs to exactly one process.

    They are the batches of a single process: what a net puts out for an image depends, in its last bits, on the batch.
    Batches of one image divide the images as evenly as can be.
    """

    def __init__(self, indices: Sequence[int], batch_size: int, share: Share):
        self.indices, self.batch_size = indices, batch_size
        self.starts = range(share.rank * batch_size, len(indices), share.world * batch_size)

    def __len__(self) -> int:
        return sum(min(self.batch_size, len(self.indices) - start) for start in self.starts)

    def __iter__(self) -> Iterator[int]:
        return (index for start in self.starts for index in self.indices[start : start + self.batch_size])
