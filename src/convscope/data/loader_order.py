"""The indices of the images in the batches of a loader of the user's own, without a change to what the loader gives."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DistributedSampler, IterableDataset, SequentialSampler


class LoaderOrder:
    """The order in which a loader gives the images of its data set.

    In index order, or as a DistributedSampler deals the images, the order is known. Any other sampler is listened to:
    it draws the next order only once. dataset: of the loader, None where its images have no index.
    """

    def __init__(self, loader: Any):
        self.loader = _innermost(loader)
        self.dataset = _dataset_with_indices(self.loader)
        sampler = getattr(self.loader, "sampler", None)
        self._sampler = sampler if self.dataset is not None and _is_predictable(self.loader, sampler) else None
        self._order: list[int] = []
        self._listener: _Listener | None = None
        self._is_first = False  # of those that listen to this loader
        batch_sampler = getattr(self.loader, "batch_sampler", None)
        if self.dataset is not None and self._sampler is None:
            self._listener, self._is_first = _listener_of(self.loader), not isinstance(batch_sampler, _Listener)

    def begin(self) -> None:
        """Reads the order of the pass that begins."""
        if self._sampler is not None:
            self._order = list(self._sampler)

    def close(self) -> None:
        """Gives the loader its batch sampler back."""
        if self._listener is not None and self._is_first:
            _set_batch_sampler(self.loader, self._listener.sampler)

    def indices(self, number: int, count: int) -> Tensor | None:
        """Indices [count] of the images of batch `number`; None where they are not known.

        -1 for images that cannot be told apart, as where a collate function has left some out.
        """
        if self._sampler is not None:
            size = self.loader.batch_size
            listed = self._order[number * size : (number + 1) * size]
        elif self._listener is not None and number < len(self._listener.batches):
            listed = self._listener.batches[number]
        else:
            return None
        return torch.tensor(listed) if len(listed) == count else torch.full((count,), -1)


class _Listener:
    """A batch sampler that notes what another one yields, and is otherwise that one."""

    def __init__(self, sampler: Any):
        self.sampler = sampler
        self.batches: list[list[int]] = []  # of the latest pass

    def __iter__(self) -> Iterator[Any]:
        self.batches = noted = []
        for batch in self.sampler:
            noted.append([int(index) for index in batch])
            yield batch

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name == "sampler":  # before __init__, as in unpickling
            raise AttributeError(name)
        return getattr(self.sampler, name)


def _listener_of(loader: Any) -> _Listener:
    """The listener of the loader's batch sampler, put there at the first call."""
    if not isinstance(loader.batch_sampler, _Listener):
        _set_batch_sampler(loader, _Listener(loader.batch_sampler))
    return loader.batch_sampler


def _set_batch_sampler(loader: Any, sampler: Any) -> None:
    loader.__dict__["batch_sampler"] = sampler  # a DataLoader refuses to set it
    if getattr(loader, "_iterator", None) is not None:  # of persistent workers, which begin a pass anew
        loader._iterator._index_sampler = sampler


def _innermost(loader: Any) -> Any:
    """The torch DataLoader within Fabric's and accelerate's."""
    fields = getattr(loader, "__dict__", {})
    inner = next((fields[name] for name in ("_dataloader", "base_dataloader") if fields.get(name) is not None), None)
    return loader if inner is None else _innermost(inner)


def _dataset_with_indices(loader: Any) -> Any:
    """The data set of a loader of torch that asks for images by index and collates them; else None."""
    dataset = getattr(loader, "dataset", None)
    has_indices = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    by_index = has_indices and not isinstance(dataset, IterableDataset)
    return dataset if by_index and getattr(loader, "batch_sampler", None) is not None else None


def _is_predictable(loader: Any, sampler: Any) -> bool:
    """Whether the sampler can be iterated beside the loader: without a draw of its own, and in the same order."""
    if type(loader.batch_sampler) is not BatchSampler or not isinstance(loader.batch_size, int):
        return False
    deals = isinstance(sampler, DistributedSampler) and sampler.dataset is loader.dataset
    return deals or type(sampler) is SequentialSampler


@contextmanager
def undisturbed_random(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Leaves the random numbers of the process as they were: those that training draws next.

    devices: GPUs whose generators are meant beside that of the CPU.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
