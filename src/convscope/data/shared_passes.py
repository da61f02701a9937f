"""Passes over images that several processes make together: each takes some of the parts, and all results come together.

A part is what a process alone would compute at once, such as a batch. So every value is the same, to the bit, for any
number of processes. `joined_processes` alone makes them one group; without it each process does all of its work itself,
also in a training script of the user's own with several processes.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from itertools import zip_longest
from typing import Any, TypeVar

import torch.distributed as dist

from convscope.data.sampler import BatchShare, Share, share_of
from convscope.errors import UserError

Result = TypeVar("Result")
LONGEST_WAIT = timedelta(days=7)  # for a process that draws; one that has ended is noticed at once
SECONDS_TO_BE_ENDED = 10.0  # by the launcher, after another process has ended
_END = None  # after the last result of a process, each of which comes in a tuple of its own
_GROUP = ContextVar[Any]("group", default=None)


@contextmanager
def joined_processes() -> Iterator[None]:
    """Within the block, the processes whose RANK and WORLD_SIZE torch reads divide the work.

    gloo also where nets run on GPUs: results are exchanged between the CPUs.
    """
    dist.init_process_group("gloo")
    with _ending_with_others():
        token = _GROUP.set(dist.new_group(backend="gloo", timeout=LONGEST_WAIT))
    try:
        yield
    finally:
        _GROUP.reset(token)
        dist.destroy_process_group()


def process() -> Share:
    """The part of this process among those that divide the work; everything without `joined_processes`."""
    return Share() if _GROUP.get() is None else Share(dist.get_rank(), dist.get_world_size())


def own_batches(indices: Sequence[int], batch_size: int, trainer: Any = None) -> BatchShare:
    """The order of a loader: the batches of this process. trainer: Lightning's, whose processes share in training."""
    return BatchShare(indices, batch_size, share_of(trainer) if trainer else process())


def own_parts(parts: Sequence[Result]) -> Sequence[Result]:
    """The parts of this process: each of them belongs to exactly one."""
    rank, world = process()
    return parts[rank::world]


def gathered(value: Result) -> list[Result]:
    """The values of all processes, by rank. They travel by pickle: tensors have to be on the CPU."""
    values = [value] * process().world
    if len(values) > 1:
        with _ending_with_others():
            dist.all_gather_object(values, value, group=_GROUP.get())
    return values


def all_results(results: Iterable[Result]) -> list[Result]:
    """The results of all parts in their order, in every process. results: those of `own_parts`."""
    by_rank = gathered([(result,) for result in results])
    return [result[0] for turn in zip_longest(*by_rank) for result in turn if result is not None]


def results_in_first(results: Iterable[Result]) -> Iterator[Result]:
    """Yields the results of all parts in their order, as soon as they come, in the first process; none in the others.

    results: those of the parts of this process, where the first has no fewer than others have; further ones of other
    processes follow at the end. Memory holds one result of each process.
    """
    rank, world = process()
    if rank:
        for result in results:
            _send((result,))
        _send(_END)
        return
    others = list(range(1, world))
    for result in results:
        yield result
        yield from _one_of_each(others)
    while others:
        yield from _one_of_each(others)


def _one_of_each(others: list[int]) -> Iterator[Any]:
    """Yields the next result of each of these processes; takes those that have no more off the list."""
    for rank in [*others]:
        received: list[Any] = [None]
        with _ending_with_others():
            dist.recv_object_list(received, src=rank, group=_GROUP.get())
        if received[0] is _END:
            others.remove(rank)
        else:
            yield received[0][0]


def _send(value: Any) -> None:
    with _ending_with_others():
        dist.send_object_list([value], dst=0, group=_GROUP.get())


@contextmanager
def _ending_with_others() -> Iterator[None]:
    """Waits for the launcher to end this process where another one has ended, whose error is the one to print.

    Raises UserError where no launcher does.
    """
    try:
        yield
    except RuntimeError:
        time.sleep(SECONDS_TO_BE_ENDED)
        raise UserError("another process of this run has ended; its own output has the reason") from None
