"""A net that a script of the user's own trains, watched: its features into a run folder, epoch after epoch."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from convscope.data.items import batch_images, below, image_shape
from convscope.data.loader_images import LoaderImages
from convscope.data.loader_order import undisturbed_random
from convscope.engine.hooks import in_float32
from convscope.engine.layers import layer_table
from convscope.errors import reason_of
from convscope.models.wrappers import eagerly, is_compiled
from convscope.runs.picture_files import pictures_in_words
from convscope.training.watching.evolution import Evolution
from convscope.training.watching.pass_watcher import PassWatcher, gathered, process
from convscope.training.watching.recorded_run import ClosingLogger, EpochRows, RecordedRun
from convscope.training.watching.watch_choice import Shape, WatchChoice
from convscope.training.watching.watched_net import check_takes_images, watched_net

STRETCHED = (
    "the images have no mean and std that could be read, so that each is stretched from black to white; give those of "
    "your Normalize: mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)"
)
OWN_PASS = (
    "the passes did not show all layers, as those of a compiled net or of a step that changes its images; convscope "
    "makes a pass of its own over the validation images"
)


class WatchedRun:
    """A watched net: its passes, pictures and folder. Only the first of several processes writes.

    module: the user's, in which choice.net is. Raises UserError for a choice that the net cannot satisfy.
    """

    def __init__(self, choice: WatchChoice, module: nn.Module, loader: Any, shape: Shape):
        self.choice, self.compiled = choice, is_compiled(module)
        with undisturbed_random():
            self.net = watched_net(module, choice.net, shape)
            check_takes_images(self.net, shape)
        self.features = choice.features(self.net, shape)
        self.images = LoaderImages(loader, shape, choice.colors(shape[0]), choice.classes, process())
        self.watcher = PassWatcher(self.net, self.features.layers or [], shape, self.images)
        self.watcher.draws(self.features, choice.seed)
        self.image_shape = shape
        self.evolution: Evolution | None = None  # these two in the first process alone
        self.recorded: RecordedRun | None = None
        self._warned = set[str]()

    def open(
        self,
        folder: Path,
        name: str,
        state: Mapping[str, Any],
        loggers: Sequence[ClosingLogger] = (),
        epochs: int | None = None,
        drawn: int | None = None,
    ) -> None:
        """Opens the run folder and prints where its page is, and how much will be written.

        state: of an earlier session, empty without one. epochs, drawn: of the whole run, and how many of them are
        drawn; None where that is not known.
        """
        if process().rank:
            return
        with eagerly(self.net), undisturbed_random():
            facts = self._facts(name)
        self.recorded = RecordedRun(folder, facts, loggers, EpochRows.read(state.get("metrics", "")), epochs)
        self.evolution = Evolution(self.recorded.record, self.images.images, self.features, self.choice.seed)
        if "evolution" in state:
            self.evolution.load_state_dict(state["evolution"])
        print(f"convscope: features of {name} in {folder / 'report' / 'index.html'}", flush=True)
        layers = len(self.features.layers or [])
        pictures = pictures_in_words(drawn, layers, *self.features.maps_and_tile(layers))
        if pictures:
            print(f"convscope: this run writes {pictures}; less with maps, every_n_epochs, tile", flush=True)
        if self.images.images.stretched:
            self.warn(STRETCHED)
        if self.compiled:
            self.warn("torch.compile has compiled this net; convscope looks at the module that it was made of")

    def state(self) -> dict[str, Any]:
        """What a resumed session needs, as tensors and plain values; empty but in the first process."""
        if self.recorded is None or self.evolution is None:
            return {}
        return {"metrics": self.recorded.rows.text(), "evolution": self.evolution.state_dict()}

    def _facts(self, name: str) -> dict[str, Any]:
        """Entries of about.json and summary.json."""
        _, height, width = self.image_shape
        net = {
            "name": type(self.net).__name__,
            "image_size": height if height == width else None,
            "parameters": sum(weight.numel() for weight in self.net.parameters()),
            "rows": layer_table(self.net, self.image_shape, self.watcher.layers),
        }
        facts = {"job": "train", "name": name, "seed": self.choice.seed, "data": _data_name(self.images.loader)}
        return facts | {"classes": self.images.images.classes, "net": net}

    def warn(self, text: str) -> None:
        """Warns once, in the terminal and on the page."""
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(f"convscope: {text}", stacklevel=2)
            if self.recorded is not None:
                self.recorded.warn(text)

    def begin_pass(self) -> None:
        self._guarded(self.watcher.begin)

    def begin_batch(self, batch: Any) -> None:
        self._guarded(lambda: self._begin_batch(batch))

    def _begin_batch(self, batch: Any) -> None:
        """The first batch of a pass says how large images are; the data set may give them larger."""
        shape = image_shape(batch_images(batch)[0])
        if shape != self.image_shape and self.watcher.search is not None and not self.images.number:
            self.image_shape = self.watcher.image_shape = self.images.images.image_shape = shape
            self.watcher.begin()
        self.watcher.begin_batch(batch)

    def end_batch(self, batch: Any) -> None:
        self._guarded(lambda: self.watcher.end_batch(batch))

    def _guarded(self, step: Callable[[], None]) -> None:
        """Makes a warning of an error, after which the pass is not searched any further."""
        try:
            step()
        except Exception as error:
            self.watcher.fail(error)

    def end_pass(self, epoch: int, repeat: Callable[[], None]) -> dict[str, float]:
        """Ends a pass and draws the epoch; returns its columns by name, none but in the first process.

        repeat: see PassWatcher.end. What fails here is a warning: a training goes on without a picture.
        """
        try:
            tops = self.watcher.end(lambda: self._repeat(repeat))
            self._collect(self.watcher.strongest(tops))
            if self.evolution is None or not tops:
                return {}
            self.evolution.measures_drawn_maps = not self.images.rereadable
            with self._drawing():
                columns = self.evolution.draw(self.net, epoch, tops)
            self.images.store.trim()
            return columns
        except Exception as error:
            self.watcher.search = None
            self.warn(f"the features of epoch {epoch} could not be drawn: {type(error).__name__}: {reason_of(error)}")
            return {}

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Plain float32, whatever the net is trained in; the random numbers of the training stay as they are."""
        plain = torch.autocast(next(self.net.parameters()).device.type, enabled=False)
        quiet = undisturbed_random()
        with torch.inference_mode(False), torch.no_grad(), plain, in_float32(self.net), eagerly(self.net), quiet:
            yield

    def _repeat(self, repeat: Callable[[], None]) -> None:
        self.warn(OWN_PASS)
        self.watcher.begin()
        with torch.no_grad(), eagerly(self.net):
            repeat()

    def _collect(self, strongest: set[int]) -> None:
        """Brings the kept images of the strongest units into the first process."""
        self.images.end(all(gathered(self.images.rereadable is True)))
        if process().world == 1 or self.images.rereadable:
            return
        items = {index: tuple(item) for index, item in self.images.store.items.items() if index in strongest}
        parts: list[Any] = [None] * process().world
        dist.gather_object(items, None if process().rank else parts)
        for part in parts if process().rank == 0 else []:
            for index, (image, label) in part.items():
                self.images.store.add(index, image, label)

    def end_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the row of an epoch."""
        if self.recorded is not None:
            self.recorded.epoch(epoch, values)

    def fail(self, error: BaseException) -> None:
        """Ends a run that an error has ended before its time."""
        self.end(f"{type(error).__name__}: {error}".rstrip(": "))

    def end(self, problem: str | None = None) -> None:
        """Writes Fig. 4, the summary and the page. problem: what ended the run before its time."""
        self.watcher.close()
        self.images.order.close()
        if self.recorded is None or self.evolution is None:
            return
        try:
            self.evolution.end()
            self.recorded.end(problem)
        except Exception as error:
            self.warn(f"the page could not be written: {type(error).__name__}: {reason_of(error)}")


def _data_name(loader: Any) -> str:
    """The class of the data set in the loader, below wrappers such as torch's Subset."""
    dataset = getattr(loader, "dataset", loader)
    while (inner := below(dataset)) is not None:
        dataset = inner
    return type(dataset).__name__
