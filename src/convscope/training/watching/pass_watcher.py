"""The search for the strongest images over passes that something else makes, in one process or in several."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import drawn_maps
from convscope.data.sampler import Share, share_of
from convscope.engine.top9 import NINE, Top9, first_entries
from convscope.engine.top9_search import Search
from convscope.errors import UserError

Tops = dict[str, Top9]


class PassImages(Protocol):
    """The images of a pass, batch by batch (data/loader_images.py)."""

    def begin(self) -> None: ...
    def indices(self, batch: Any) -> Tensor: ...
    def keep(self, strongest: Callable[[], set[int]], indices: Tensor, batch: Any) -> None: ...


class PassSearch(Search):
    """A search over passes in which anything may happen.

    Each image counts once: further passes over a batch, and images that come again, are left out. missed: whether the
    hooks of some layer were not called for some batch, or with another number of images. error: the first in a hook,
    which does not end the pass.
    """

    def __init__(self, net: nn.Module, layers: Sequence[str], image_shape: tuple[int, ...]):
        super().__init__(net, layers)
        self.image_shape, self.missed = image_shape, False
        self.error: Exception | None = None
        self._waiting, self._searched = set[str](), set[int]()

    def __enter__(self) -> "PassSearch":
        self._watch_layers(self.image_shape)
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._end_batch()

    def watch(self, indices: Tensor) -> None:
        self._end_batch()
        numbers = list[int]()
        for index in indices.tolist():
            numbers.append(-1 if index in self._searched else index)
            self._searched.add(index)
        super().watch(torch.tensor(numbers, dtype=torch.int64))
        self._waiting = set(self.layers)

    def _end_batch(self) -> None:
        self.missed = self.missed or bool(self._waiting)
        self._waiting = set()

    def _take(self, layer: str, maps: Tensor, *args: Any, **kwargs: Any) -> None:
        if layer not in self._waiting:
            return
        self._waiting.discard(layer)
        if len(maps) != len(self.indices):
            self.missed = True
            return
        try:
            super()._take(layer, maps, *args, **kwargs)
        except Exception as error:
            self.missed, self.error = True, self.error or error


class PassWatcher:
    """Follows the passes over a set of images and gives the strongest images of each layer at the end of a pass."""

    def __init__(self, net: nn.Module, layers: Sequence[str], image_shape: tuple[int, ...], images: PassImages):
        self.net, self.layers, self.image_shape, self.images = net, list(layers), image_shape, images
        self.search: PassSearch | None = None
        self.drawn: Callable[[Top9, str], list[int]] = lambda top, layer: list(range(len(top.score)))

    def draws(self, choice: FeatureConfig, seed: int) -> None:
        """Keeps only images of the maps that are drawn."""
        self.drawn = lambda top, layer: drawn_maps(choice, layer, len(top.score), seed)

    def begin(self) -> None:
        """Begins a pass, whose batches have not come yet."""
        self.close()
        self.images.begin()
        self.search = PassSearch(self.net, self.layers, self.image_shape)
        self.search.__enter__()

    def begin_batch(self, batch: Any) -> None:
        if self.search is not None:
            self.search.watch(self.images.indices(batch))

    def end_batch(self, batch: Any) -> None:
        if (search := self.search) is not None:
            self.images.keep(lambda: self.strongest(search.top), search.indices, batch)

    def fail(self, error: Exception) -> None:
        """Ends the search of this pass, whose result the error has spoiled."""
        self.close()
        if self.search is not None:
            self.search.missed, self.search.error, self.search.layers = True, error, []

    def close(self) -> None:
        """Ends a pass without its result, as after an error."""
        if self.search is not None:
            self.search.__exit__(None, None, None)

    def end(self, repeat: Callable[[], None]) -> Tops:
        """Ends a pass: the record of each layer over the images of all processes.

        repeat: makes a pass of its own, from begin to the last batch; called where the hooks did not see everything.
        """
        self.close()
        if any_process(self._has_missed()):
            try:
                repeat()
            except Exception as error:  # the other processes wait for this one below
                self.fail(error)
            self.close()
            if any_process(self._has_missed()):
                cause = self.search.error if self.search is not None else None
                raise cause or UserError("not every layer has been in the passes")
        search, self.search = self.search, None
        top = search.top if search is not None else {}
        if process().world == 1:
            return {layer: top[layer] for layer in self.layers if layer in top}
        by_rank = gathered({layer: (*record, record.before) for layer, record in top.items()})
        parts = {layer: [Top9(*tops[layer]) for tops in by_rank if layer in tops] for layer in self.layers}
        return {layer: merged_with_repeats(records) for layer, records in parts.items() if records}

    def _has_missed(self) -> bool:
        return self.search is not None and self.search.missed

    def strongest(self, top: Tops) -> set[int]:
        """The images of the drawn maps."""
        strongest = set[int]()
        for layer, record in top.items():
            maps = self.drawn(record, layer)
            strongest |= set(record.image[maps][record.score[maps] > 0].tolist())
        return strongest


def process() -> Share:
    """The part of this process in torch's process group; everything without one."""
    return share_of(None)


def any_process(value: bool) -> bool:
    """Whether the value is true in any process."""
    return any(gathered(value))


def gathered(value: Any) -> list[Any]:
    """The values of all processes, by rank."""
    values = [value] * process().world
    if len(values) > 1:
        dist.all_gather_object(values, value)
    return values


def merged_with_repeats(records: Sequence[Top9]) -> Top9:
    """The record over the images of several records, each image once: loaders give some images to two processes."""
    fields = (torch.cat(parts, 1) for parts in zip(*((*top, top.before) for top in records), strict=True))
    top = Top9(*fields)  # [C, 9 W]
    top = first_entries(top, top.image.shape[1])
    again = _repeats(top.image)
    score, before = (field.masked_fill(again, -torch.inf) for field in (top.score, top.before))
    image, row, col = (field.masked_fill(again, -1) for field in (top.image, top.row, top.col))
    return first_entries(Top9(score, image, row, col, before), NINE)


def _repeats(image: Tensor) -> Tensor:
    """Whether an image [C, n] stands further to the left already, bool [C, n]."""
    order = image.argsort(dim=1, stable=True)
    ordered = image.gather(1, order)
    same = torch.zeros_like(ordered, dtype=torch.bool)
    same[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    return torch.zeros_like(same).scatter(1, order, same)
