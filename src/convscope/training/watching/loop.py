"""Feature evolution in a training loop of the user's own, without Lightning."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from convscope.data.items import batch_images, first_image, first_item_image, image_shape
from convscope.engine.hooks import evaluating
from convscope.errors import UserError
from convscope.models.wrappers import eagerly
from convscope.runs.atomic_io import write
from convscope.training.watching.pass_watcher import process
from convscope.training.watching.recorded_run import new_folder
from convscope.training.watching.watch_choice import WatchChoice
from convscope.training.watching.watched_run import WatchedRun

STATE = "watch.pt"  # in the run folder: what a loop that goes on needs
BATCH = 64


def watch(
    net: nn.Module,
    images: Any,
    *,
    folder: str | Path | None = None,
    layers: Sequence[str] | None = None,
    maps: int | Mapping[str, Sequence[int]] = 16,
    every_n_epochs: int = 1,
    epochs: Sequence[int] | None = None,
    rule: str = "auto",
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    classes: Sequence[str] | None = None,
    tile: int | None = None,
    seed: int = 0,
    measures: Sequence[str] = (),
) -> "Watching":
    """Shows what a net learns while a loop of your own trains it: what excites its maps, epoch after epoch.

        with convscope.watch(net, val_loader, folder="out/features") as watching:
            for epoch in range(1, 11):
                ...                                           # train the net, validate it
                watching.epoch(epoch, {"val/top1": accuracy})

    After each epoch the net passes over the images of the loader once more, in eval mode. A validation that iterates
    `for x, y in watching.batches():` in place of the loader saves that pass. The run folder has a page,
    report/index.html. A loop that is started again with the same folder goes on there. With several processes the
    first one writes.

    net: a module that takes images, also one wrapped by torch.compile, DistributedDataParallel, Fabric or accelerate.
    images: a loader or a data set of validation images. folder: None for convscope/<date>_<time>. The other arguments
    are those of `FeatureEvolution`, except `net` and `loader`. Raises UserError for arguments that are not possible.
    """
    choice = WatchChoice(layers, maps, every_n_epochs, epochs, rule, mean, std, None, classes, tile, seed, measures)
    if not isinstance(net, nn.Module):
        raise UserError(f"net is a {type(net).__name__}; watch takes a module of torch")
    return Watching(choice, net, _loader(images), Path(folder or new_folder(Path())).expanduser())


class Watching:
    """What `watch` gives. folder: of the run."""

    def __init__(self, choice: WatchChoice, net: nn.Module, loader: Any, folder: Path):
        self.choice, self.net, self.loader, self.folder = choice, net, loader, folder
        self.run: WatchedRun | None = None
        self._ridden = False  # on a whole pass of the user's since the last epoch
        self._began, self._last = time.perf_counter(), 0

    def __enter__(self) -> "Watching":
        image = first_image(self.loader)
        if image is not None:
            self._open(image)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> None:
        if self.run is not None:
            self.run.end() if error is None else self.run.fail(error)

    def batches(self) -> "WatchedBatches":
        """The batches of the loader; the search for the strongest images rides on what the net makes of them."""
        return WatchedBatches(self)

    def epoch(self, epoch: int, values: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Draws and records an epoch. values: numbers for its row of metrics.csv.

        Returns the columns of feature evolution by name, in the first process: stayed/<layer>, similarity/<layer> and
        dead/<layer>. Raises UserError for an epoch that is no number from 0.
        """
        if type(epoch) is not int or epoch < 0:
            raise UserError(f"epoch={epoch!r} is no number of an epoch; count from 1")
        if not self._ridden and self.choice.draws_at(epoch):
            self._begin()
            self._pass()
        row = _numbers(values or {})
        if self.run is None:
            return {}
        columns = self.run.end_pass(epoch, self._pass) if self.choice.draws_at(epoch) else {}
        row |= columns | {"seconds": time.perf_counter() - self._began}
        self.run.end_epoch(epoch, row)
        self._save()
        self._ridden, self._began, self._last = False, time.perf_counter(), epoch
        return columns

    def _save(self) -> None:
        assert self.run is not None
        if state := self.run.state():
            write(self.folder / STATE, lambda part: torch.save(state, part))

    def _begin(self) -> None:
        if self.run is not None:
            self.run.begin_pass()

    def _pass(self) -> None:
        """Passes the images of the loader through the net, in eval mode."""
        weight = next(self.net.parameters())
        with torch.no_grad(), evaluating(self.net), eagerly(self.net):
            for batch in self.loader:
                self._begin_batch(batch)
                assert self.run is not None
                self.run.net(batch_images(batch).to(weight.device, weight.dtype))
                self.run.end_batch(batch)

    def _begin_batch(self, batch: Any) -> None:
        """Tells the search which images come next. The first batch of all may be the first to say what images are."""
        if self.run is None:
            self._open(batch_images(batch)[0])
            self._begin()
        assert self.run is not None
        self.run.begin_batch(batch)

    def _open(self, image: Tensor) -> None:
        """Opens the run: from here on the images are known."""
        run = WatchedRun(self.choice, self.net, self.loader, image_shape(image))
        run.open(self.folder, type(run.net).__name__, _state(self.folder), drawn=self.choice.drawn_epochs(None))
        self.run = run


class WatchedBatches:
    """The batches of a loader, watched while they are used."""

    def __init__(self, watching: Watching):
        self.watching = watching

    def __len__(self) -> int:
        return len(self.watching.loader)

    def __iter__(self) -> Iterator[Any]:
        watching = self.watching
        if not watching.choice.draws_at(watching._last + 1):
            yield from watching.loader
            return
        watching._ridden = False
        watching._begin()
        for batch in watching.loader:
            watching._begin_batch(batch)
            yield batch
            assert watching.run is not None
            watching.run.end_batch(batch)
        watching._ridden = True


def _numbers(values: Any) -> dict[str, float]:
    """Values of a row of metrics.csv. Raises UserError for what is no mapping of names to numbers."""
    try:
        return {name: float(value) for name, value in values.items()}
    except (AttributeError, TypeError, ValueError, RuntimeError):
        raise UserError(f"values={values!r} are no numbers by name; pass e.g. {{'val/top1': 0.5}}") from None


def _state(folder: Path) -> dict[str, Any]:
    """The state of an earlier loop in this folder. Raises UserError for a folder of another kind of run."""
    if process().rank:
        return {}
    if not (folder / STATE).is_file():
        if (folder / "metrics.csv").is_file():
            raise UserError(f"folder={str(folder)!r} holds a run that watch cannot go on with; name another")
        return {}
    state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    return state


def _loader(images: Any) -> Any:
    """The loader, or one of the data set. Raises UserError for what is neither."""
    if hasattr(images, "dataset") and hasattr(images, "__iter__") and not hasattr(images, "__getitem__"):
        return images
    if first_item_image(images) is not None:
        return DataLoader(images, BATCH)
    if not hasattr(images, "__iter__"):
        raise UserError(
            f"images is a {type(images).__name__}; watch takes a loader, or a data set of images as tensors"
        )
    return images
