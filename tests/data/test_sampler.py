"""The training order of images in chunks: a pure function of seed and epoch that no number of processes changes."""

import numpy as np
import pytest
from hypothesis import given, strategies
from torch.utils.data import BatchSampler

from convscope.data.sampler import LANE_CHUNKS, LANES, EpochSampler, JoinedBatches, Share, WindowSampler
from random_settings import tried

COUNTS = np.array([10] * 99 + [7])


def order(seed=1, epoch=0, share=Share(), skip=0, counts=COUNTS):  # noqa: B008
    return [index for _, index in WindowSampler(counts, seed, share, epoch, skip)]


def test_every_image_once_in_another_order_each_epoch():
    orders = [order(epoch=epoch) for epoch in range(3)] + [order(seed=2)]
    assert all(sorted(one) == list(range(997)) for one in orders)
    assert len({tuple(one) for one in orders}) == 4
    assert order(epoch=2) == orders[2]
    assert {epoch for epoch, _ in WindowSampler(COUNTS, 1, Share(), epoch=4)} == {4}


def test_a_window_holds_whole_chunks_and_mixes_them():
    whole = LANES * LANE_CHUNKS
    first = order()[: whole * 10]
    if 99 not in {index // 10 for index in first}:
        assert sorted({index // 10 for index in first}) == sorted(set(np.array(first) // 10))
        assert len({index // 10 for index in first}) == whole
    chunks = np.array(first) // 10
    assert len(set(chunks[:64])) > 20  # the first batches have images of most chunks
    again = np.array(order(epoch=1)[: whole * 10]) // 10
    assert 2 < len(set(again) & set(chunks)) < 25  # other chunks come together in another epoch


@pytest.mark.parametrize("world", [2, 3, 4, 8])
def test_all_processes_together_follow_the_order_of_one(world):
    parts = [order(share=Share(rank, world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    together = [index for turn in zip(*parts, strict=True) for index in turn]
    assert together[:997] == order() and together[997:] == order()[: len(together) - 997]


@pytest.mark.parametrize("world", [2, 4, 8])
def test_a_process_reads_its_share_of_the_chunks(world):
    even = np.full(96, 10)
    read = [{index // 10 for index in order(share=Share(rank, world), counts=even)} for rank in range(world)]
    assert all(len(chunks) == 96 // world for chunks in read) and len(set.union(*read)) == 96


@pytest.mark.parametrize("skip", [0, 1, 8, 320, 400, 498])
def test_it_starts_where_it_is_told(skip):
    share = Share(1, 2)
    assert order(share=share, skip=skip) == order(share=share)[skip:]
    late = WindowSampler(COUNTS, 1, share, 0, skip)
    late.set_epoch(1)
    assert [index for _, index in late] == order(share=share, epoch=1) and len(late) == 499


def test_fewer_images_than_processes():
    parts = [order(share=Share(rank, 8), counts=np.array([2, 1])) for rank in range(8)]
    assert [len(part) for part in parts] == [1] * 8 and {part[0] for part in parts} == {0, 1, 2}


@tried(60)
@given(
    strategies.integers(1, 70), strategies.integers(2, 9), strategies.integers(1, 5), strategies.booleans(),
    strategies.data(),
)  # fmt: skip
def test_no_batch_has_one_image_and_no_image_is_left_out(images, size, world, in_chunks, draw):
    """In every process, also where an epoch goes on after some of its batches."""
    rank, epoch = draw.draw(strategies.integers(0, world - 1)), draw.draw(strategies.integers(0, 3))

    def sampler(skip=0):
        share = Share(rank, world)
        if in_chunks:
            return WindowSampler(np.bincount(np.arange(images) % 7), 1, share, epoch, skip)
        return EpochSampler(images, 1, share, epoch, skip)

    keys, batches = list(sampler()), list(JoinedBatches(sampler(), size))
    assert sum(batches, []) == keys and len(batches) == len(JoinedBatches(sampler(), size))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 < len(batches[-1]) <= size + 1 or len(keys) == 1
    if len(keys) % size != 1:
        assert batches == list(BatchSampler(sampler(), size, drop_last=False))
    done = draw.draw(strategies.integers(0, len(batches) - 1))
    assert list(JoinedBatches(sampler(done * size), size)) == batches[done:]
