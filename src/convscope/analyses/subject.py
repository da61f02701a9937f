"""What a job that looks at a finished net works on: the net, its images, and what is known of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from convscope.data import sources
from convscope.data.classnames import class_numbers, imagenet
from convscope.data.config import Settings, check_library, check_names, data_settings, group_settings, sized, source
from convscope.data.critters.source import Truth, truth
from convscope.data.module import ImageData, SplitName
from convscope.data.settings import DataSettings
from convscope.engine.trace import evaluating, trace
from convscope.errors import UserError
from convscope.models import foreign
from convscope.models.build import build, check_rows
from convscope.models.libraries import own_input
from convscope.models.weights import load_weights_, net_weights, read_checkpoint, rebuild


class Examples(NamedTuple):
    """n images of a split. index [n]: their addresses in it. image [n, 3, H, W] float32: as the net sees them.

    pixels [n, 3, H, W] uint8: the same, for display. label [n]: the class of the data each shows. target [n]: the class
    of the *net* that is looked at: the true one, or the net's most probable one where it does not know that class.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    image: Tensor
    pixels: Tensor
    label: Tensor
    target: Tensor


class Subject(NamedTuple):
    """A net and the images that it is looked at with.

    classes: names of the net's classes, in the order of its logits. targets: for each class of the data the net's
    number of it, -1 where the net does not know it. truth: for drawn images, what is where in images (split, indices),
    in the net's own pixels; None for photographs. net_name, data_name: what summaries call them. loss: what the net was
    trained with, "softmax", or "multilabel" of nets that speak of each class by itself. wnids: ImageNet's ids of the
    net's classes, none where they are not known. own_images: whether the images are those that the net was trained on.
    """

    net: nn.Module
    data: ImageData
    classes: list[str]
    targets: list[int]
    truth: Callable[[SplitName, Sequence[int]], Truth] | None = None
    net_name: str = ""
    data_name: str = ""
    loss: str = "softmax"
    wnids: Sequence[str] = ()
    own_images: bool = False

    @property
    def device(self) -> torch.device:
        """Where the net is; results come back to the CPU."""
        return next(self.net.parameters()).device

    def examples(self, split: SplitName, wanted: int | Sequence[int], seed: int = 0) -> Examples:
        """So many images, evenly over the classes and chosen by seed, or those at these indices.

        Raises UserError for an index that is not there.
        """
        index = self.data.choose(split, wanted, seed)
        image, label = self.data.images(split, index), self.data.labels(split, index)
        return Examples(index, image, self.data.pixels(split, index), label, self._target(image, label))

    def _target(self, image: Tensor, label: Tensor) -> Tensor:
        known = torch.tensor(self.targets)[label]
        if (known >= 0).all():
            return known
        with torch.inference_mode(), evaluating(self.net):
            probable = torch.cat([self.net(part.to(self.device)).argmax(1).cpu() for part in image.split(64)])
        return torch.where(known >= 0, known, probable)


PLAIN = {"folder", "imagenet", "imagenette"}  # sources that read the class folders of their root


def new_subject(settings: Settings, keep_classes: bool = False, parent: Mapping[str, Any] | None = None) -> Subject:
    """The net of conf/model for the classes of conf/data, its weights still to be set, or pretrained ones.

    keep_classes: a pretrained net keeps the classes it knows instead of getting a new last layer for the data's.
    parent: the checkpoint whose weights the net will take; it gets the input that those are used to.
    """
    settings = sized(settings, parent)
    model, data = group_settings(settings, "model"), group_settings(settings, "data")
    given = data_settings(settings)
    check_net(settings)
    found = source(data)
    scale, mean = _input_of(parent, given.stored_size)
    chosen = given if scale is None else data_settings(settings, scale)
    if "layers" in model:
        net = build(model["layers"], chosen.image_size, len(found.classes), model.get("width", 1.0))
        return _subject(settings, net, found, ImageData(found, chosen, mean), found.classes)
    own = keep_classes and (model.get("weights") or len(found.classes) == 1)  # unlabeled images have no classes
    made = _foreign(model, None if own else len(found.classes))
    own_size = own_input(model["source"], model["name"], model.get("weights")).size
    remedy = f"its own size is {own_size}: leave data.image_size out, or type data.image_size={own_size}"
    trace(made.net, (3, chosen.image_size, chosen.image_size), remedy)  # told now where it cannot take such an image
    chosen = data_settings(settings, scale or tuple(1 / (255 * std) for std in made.colors.std))
    images = ImageData(found, chosen, _one_color(made.colors.mean, chosen.stored_size) if mean is None else mean)
    unnamed = not made.named and len(made.classes or ()) == len(found.classes)  # then the net was made for such data
    classes = found.classes if unnamed else made.classes or found.classes
    return _subject(settings, made.net, found, images, classes, made.wnids)


def check_net(settings: Settings, batch: int = 1, copies: int = 1) -> None:
    """Raises what is wrong with a net of rows, or too large for the memory, before images are drawn or read for it.

    batch: images at a time. copies: of every number; training needs two.
    """
    model = group_settings(settings, "model")
    if "layers" in model:
        check_rows(model["layers"], data_settings(settings).image_size, model.get("width", 1.0), batch, copies)


def saved_subject(settings: Settings) -> Subject:
    """The net of the checkpoint settings["ckpt"], with the images it was trained on, or those the command line names.

    settings["words"]: the words of the command line. Where none of them speaks of data it is the checkpoint's own.
    """
    held = read_checkpoint(settings["ckpt"])
    about = held["convscope"]
    if absent := [key for key in ("data", "class_names", "mean", "pixel_scale") if key not in about]:
        raise UserError(f"{settings['ckpt']} does not say its {absent[0]}; take a checkpoint as convscope wrote it")
    data = dict(settings["data"])
    words = overrides_of(settings.get("words", []), "data")
    if not any(word.startswith("data=") for word in words):
        given = {word.partition("=")[0].removeprefix("data.") for word in words}
        data = about["data"] | {key: value for key, value in data.items() if key in given}
    data |= {"image_size": about["net"]["image_size"]} | about.get("input", {})
    net = _described(about["net"])
    load_weights_(net, net_weights(held))
    scale = about["pixel_scale"]
    model = {"name": about["net"].get("name", "")}
    settings = {**settings, "data": data, "model": model}
    chosen = data_settings(settings, tuple(scale) if isinstance(scale, list) else scale)
    found = source(data)
    subject = _subject(settings, net, found, ImageData(found, chosen, about["mean"]), about["class_names"])
    own = _same_images(data, about["data"])
    return subject._replace(loss=about.get("loss", "softmax"), own_images=own)


def _same_images(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two settings of data are of one set of images, or of one animals' drawing, whatever is taken of it."""
    sources = {one.get("source"), other.get("source")}
    roots = {str(Path(each["root"]).expanduser().resolve()) if each.get("root") else None for each in (one, other)}
    if len(roots) > 1 or not (len(sources) == 1 or (sources <= PLAIN and roots != {None})):
        return False
    return one.get("draw_seed") == other.get("draw_seed")


def untrained_subject(settings: Settings) -> nn.Module:
    """The net of settings["ckpt"], or that of conf/model, with fresh random weights drawn by settings["seed"]."""
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.manual_seed(settings["seed"])
        if settings["ckpt"]:
            return _described(read_checkpoint(settings["ckpt"])["convscope"]["net"])
        settings, model = sized(settings), group_settings(settings, "model")
        if "layers" in model:
            return new_subject(settings).net
        alike = {"image_size": settings["data"]["image_size"], "transform_input": bool(model.get("weights"))}
        return foreign.rebuilt({**model, "classes": 1000, **alike})


def overrides_of(words: Sequence[str], group: str) -> list[str]:
    """The words of a command line that speak of a config group, e.g. data=folder or data.limit=100."""
    plain = [word.lstrip("+~") for word in words]
    return [word for word in plain if word.split("=")[0].split(".")[0] == group]


def _described(about: Mapping[str, Any]) -> nn.Module:
    """The net that a checkpoint describes, with fresh weights."""
    if "layers" in about:
        return rebuild(about)
    check_library(about)
    return foreign.rebuilt(about)


def _input_of(parent: Mapping[str, Any] | None, stored: int) -> tuple[Any, torch.Tensor | None]:
    """(pixel_scale, mean image) of the net that weights are taken from, so that a frozen row answers as it did.

    None for a net without parent; no mean for images of another size, which have their own. The paper is silent here.
    """
    if parent is None:
        return None, None
    scale, mean = parent["convscope"]["pixel_scale"], parent["convscope"]["mean"]
    return tuple(scale) if isinstance(scale, list) else scale, mean if len(mean[0]) == stored else None


def _subject(
    settings: Settings,
    net: nn.Module,
    found: sources.Source,
    data: ImageData,
    classes: Sequence[str],
    wnids: Sequence[str] = (),
) -> Subject:
    """classes: names of the net's classes; the data's are found among them, unless they are as they stand.

    wnids: ImageNet's ids of the net's classes, where known; of its thousand they are.
    """
    same = list(classes) == list(found.classes)
    if len(classes) == 1000 and list(classes) == list(imagenet().values()):
        wnids = list(imagenet())
    targets = list(range(len(classes))) if same else class_numbers(found.classes, found.folders, classes, wnids)
    drawn = _truth(settings["data"], found, data.settings) if settings["data"]["source"] == "critters" else None
    names = str(settings["model"]["name"]), str(settings["data"]["source"])
    return Subject(net, data, list(classes), targets, drawn, *names, wnids=list(wnids))


def _truth(data: Settings, found: sources.Source, chosen: DataSettings) -> Callable[[SplitName, Sequence[int]], Truth]:
    """What is where in drawn images, in the pixels of the net's center crop."""
    side = chosen.stored_size
    margin = (side - chosen.image_size) // 2
    seen = slice(margin, margin + chosen.image_size)

    def of(split: SplitName, indices: Sequence[int]) -> Truth:
        labels = (found.train if split == "train" else found.val).labels
        limit = chosen.limit
        drawn = np.arange(len(labels)) if limit is None else sources.evenly(labels, limit, chosen.seed)
        whole = truth(data["draw_seed"], split, drawn[np.asarray(indices)].tolist(), side)
        return Truth(whole.masks[:, seen, seen], whole.boxes - margin)

    return of


def _foreign(model: Settings, classes: int | None) -> foreign.Foreign:
    check_names(model)
    make = {"torchvision": foreign.torchvision_net, "timm": foreign.timm_net}
    return make[model["source"]](model["name"], model.get("weights"), classes)


def _one_color(mean: Sequence[float], side: int) -> torch.Tensor:
    """[3,R,R] grey levels: the color that a pretrained net's input was centered on, as a mean image."""
    return (torch.tensor(mean) * 255).view(3, 1, 1).expand(3, side, side).contiguous()
