"""A net that a script of the user's own trains, watched: its features into a run folder, epoch after epoch."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
import torch.distributed as dist
from torch import nn

from convscope.analyses.visualize.about import SIDE, FeatureConfig, RuleName
from convscope.analyses.visualize.compute import drawn_layers
from convscope.data.loader_images import LoaderImages
from convscope.data.loader_order import undisturbed_random
from convscope.engine.blocks import default_layers
from convscope.engine.hooks import in_float32
from convscope.engine.layers import layer_table
from convscope.errors import UserError, did_you_mean, reason_of
from convscope.models.library_metadata import Colors
from convscope.training.evolution import Evolution
from convscope.training.pass_watcher import PassWatcher, gathered, process
from convscope.training.recorded_run import ClosingLogger, EpochRows, RecordedRun
from convscope.training.watched_net import eagerly, named_layers, watched_net

Shape = tuple[int, int, int]  # [C, H, W] of an image


@dataclass(frozen=True)
class WatchChoice:
    """What is drawn of a net, and when. The arguments of `FeatureEvolution` and `watch`, which describe them.

    Raises UserError for values that are not possible.
    """

    layers: Sequence[str] | None = None
    maps: int | Mapping[str, Sequence[int]] = 16
    every_n_epochs: int = 1
    epochs: Sequence[int] | None = None
    rule: str = "auto"
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    net: str | None = None
    classes: Sequence[str] | None = None
    tile: int = SIDE
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.layers, str) or not _are(str, [] if self.layers is None else self.layers):
            raise UserError(f"layers={self.layers!r} is no list of names; type layers=['layer1', 'layer4']")
        if self.layers is not None and not list(self.layers):
            raise UserError("layers=[] names no layer; leave it out for a choice that suits the net")
        if isinstance(self.maps, Mapping):
            if not all(isinstance(layer, str) and _are(int, numbers) for layer, numbers in self.maps.items()):
                raise UserError(f"maps={self.maps!r}: type the numbers of maps by layer, as maps={{'layer1': [0, 5]}}")
        elif type(self.maps) is not int or self.maps < 1:
            raise UserError(f"maps={self.maps!r} is no number of maps; take 1 or more, e.g. maps=16")
        if type(self.every_n_epochs) is not int or self.every_n_epochs < 1:
            raise UserError(f"every_n_epochs={self.every_n_epochs!r}; take 1 or more")
        if self.epochs is not None and not (_are(int, self.epochs) and all(epoch > 0 for epoch in self.epochs)):
            raise UserError(f"epochs={self.epochs!r} is no list of epochs, which count from 1; type epochs=[1, 2, 5]")
        if self.rule not in get_args(RuleName):
            near, names = did_you_mean(str(self.rule), get_args(RuleName)), ", ".join(get_args(RuleName))
            raise UserError(f"rule={self.rule!r} is unknown{near}; possible: {names}")
        if type(self.tile) is not int or not 16 <= self.tile <= 512:
            raise UserError(f"tile={self.tile!r} is no side of a tile; take 16 to 512 pixels")
        self._check_colors()

    def _check_colors(self) -> None:
        if (self.mean is None) != (self.std is None):
            given, missing = ("mean", "std") if self.std is None else ("std", "mean")
            raise UserError(f"{given}= without {missing}=; give both, as in the Normalize of your images")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and not _floats(values):
                raise UserError(f"{name}={values!r}; give one number for each color, e.g. {name}=(0.485, 0.456, 0.406)")

    def colors(self, channels: int) -> Colors | None:
        """Mean and deviation that were given; None without. Raises UserError for another number of colors."""
        if self.mean is None or self.std is None:
            return None
        colors = Colors(_floats(self.mean), _floats(self.std))
        for name, values in zip(("mean", "std"), colors, strict=True):
            if len(values) not in (1, channels):
                raise UserError(
                    f"{name} has {len(values)} numbers, and the images {channels} colors; give one for each"
                )
        return colors

    def draws_at(self, epoch: int) -> bool:
        """Whether features are drawn after this epoch, counted from 1."""
        return epoch in self.epochs if self.epochs is not None else epoch % self.every_n_epochs == 0

    def features(self, net: nn.Module, image_shape: Shape) -> FeatureConfig:
        """The features of this net. Raises UserError for layers and maps that it does not have."""
        maps: int | dict[str, list[int]]
        if isinstance(self.maps, int):
            maps = self.maps
        else:
            maps = {named_layers(net, [layer])[0]: list(numbers) for layer, numbers in self.maps.items()}
        layers = None if self.layers is None else named_layers(net, list(self.layers))
        rule: Any = self.rule
        chosen = FeatureConfig(layers, maps, None, "val", rule, self.tile)
        with eagerly(net), undisturbed_random():
            names = drawn_layers(chosen, net, image_shape)
        if isinstance(maps, Mapping) and (without := [name for name in names if name not in maps]):
            raise UserError(f"maps names no maps of {', '.join(without)}; add them, as {{{without[0]!r}: [0, 1]}}")
        return FeatureConfig(names, maps, None, "val", rule, self.tile)


def _are(kind: type, values: Any) -> bool:
    return not isinstance(values, str) and hasattr(values, "__iter__") and all(type(value) is kind for value in values)


def _floats(values: Any) -> tuple[float, ...]:
    """The numbers; empty for anything else."""
    try:
        return tuple(float(value) for value in (values if hasattr(values, "__iter__") else [values]))
    except (TypeError, ValueError):
        return ()


class WatchedRun:
    """A watched net: its passes, pictures and folder. Only the first of several processes writes.

    module: the user's, in which choice.net is. Raises UserError for a choice that the net cannot satisfy.
    """

    def __init__(self, choice: WatchChoice, module: nn.Module, loader: Any, image_shape: Shape):
        self.choice = choice
        with undisturbed_random():
            self.net = watched_net(module, choice.net, image_shape)
        self.features = choice.features(self.net, image_shape)
        self.images = LoaderImages(loader, image_shape, choice.colors(image_shape[0]), choice.classes, process())
        self.watcher = PassWatcher(self.net, self.features.layers or [], image_shape, self.images)
        self.watcher.draws(self.features, choice.seed)
        self.image_shape = image_shape
        self.evolution: Evolution | None = None  # these two in the first process alone
        self.recorded: RecordedRun | None = None
        self._warned = set[str]()

    def open(self, folder: Path, name: str, state: Mapping[str, Any], loggers: Sequence[ClosingLogger] = ()) -> None:
        """Opens the run folder. state: of an earlier session, empty without one."""
        if process().rank:
            return
        with eagerly(self.net), undisturbed_random():
            facts = self._facts(name)
        self.recorded = RecordedRun(folder, facts, loggers, EpochRows.read(state.get("metrics", "")))
        self.evolution = Evolution(self.recorded.record, self.images.images, self.features, self.choice.seed)
        if "evolution" in state:
            self.evolution.load_state_dict(state["evolution"])
        if self.images.images.stretched:
            self.warn("the images have no mean and std that could be read, so that each is stretched from black to "
                      "white; give those of your Normalize: mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)")  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What a resumed session needs, as tensors and plain values; empty but in the first process."""
        if self.recorded is None or self.evolution is None:
            return {}
        return {"metrics": self.recorded.rows.text(), "evolution": self.evolution.state_dict()}

    def _facts(self, name: str) -> dict[str, Any]:
        """Entries of about.json and summary.json."""
        layers = self.features.layers or default_layers(self.net, self.image_shape)
        _, height, width = self.image_shape
        net = {
            "name": type(self.net).__name__,
            "image_size": height if height == width else None,
            "parameters": sum(weight.numel() for weight in self.net.parameters()),
            "rows": layer_table(self.net, self.image_shape, layers),
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

    rides = True  # on passes that something else makes

    def begin_batch(self, batch: Any) -> None:
        self._guarded(lambda: self.watcher.begin_batch(batch))

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
            device = next(self.net.parameters()).device.type
            plain = torch.autocast(device, enabled=False)
            with torch.inference_mode(False), torch.no_grad(), plain, in_float32(self.net), eagerly(self.net):
                with undisturbed_random():
                    columns = self.evolution.draw(self.net, epoch, tops)
            self.images.store.trim()
            return columns
        except Exception as error:
            self.watcher.search = None
            self.warn(f"the features of epoch {epoch} could not be drawn: {type(error).__name__}: {reason_of(error)}")
            return {}

    def _repeat(self, repeat: Callable[[], None]) -> None:
        self.warn("the passes did not show all layers (a compiled net, or a step that passes on other images), so that "
                  "convscope makes a pass of its own over the validation images")  # fmt: skip
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

    def end(self, problem: str | None = None) -> None:
        """Writes Fig. 4, the summary and the page. problem: what ended the run before its time."""
        self.watcher.close()
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
    while (below := getattr(dataset, "dataset", None)) is not None:
        dataset = below
    return type(dataset).__name__
