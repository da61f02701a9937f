"""The subject of an analysis: a finished net, its images, their classes and, for drawn images, their annotations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from convscope.config import Settings
from convscope.data import sources
from convscope.data.classnames import class_numbers, current_names, imagenet
from convscope.data.config import check_names, data_settings, group_settings, job_source, sized
from convscope.data.critters.source import Truth, truth
from convscope.data.images import Images, SplitName
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.trained_images import are_own_images, trained_data
from convscope.engine.hooks import evaluating
from convscope.engine.trace import trace
from convscope.errors import UserError
from convscope.models import library_nets
from convscope.models.build import check_rows
from convscope.models.checkpoints import check_words, load_weights_, net_weights, read_checkpoint
from convscope.models.library_metadata import native_input
from convscope.models.nets import described_net, foreign_net, net_name, row_net


class Examples(NamedTuple):
    """n images of a split. index [n]: their numbers in it. image [n, 3, H, W] float32: the net's input.

    pixels [n, 3, H, W] uint8: the same, for display. label [n]: their classes of the data. target [n]: the class of the
    *net* whose probability is followed: the true one, or the net's most probable one where it does not know that class.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    image: Tensor
    pixels: Tensor
    label: Tensor
    target: Tensor


class Subject(NamedTuple):
    """A net and the images that an analysis passes through it.

    classes: names of the net's classes, in the order of its logits. targets: for each class of the data the net's
    number of it, -1 where the net does not know it. truth: for drawn images, a function from (split, indices) to masks
    and boxes in the net's input pixels; None for photographs. net_name, data_name: their names in summaries. loss: that
    the net was trained with, "softmax", or "multilabel" for nets that answer each class by itself. wnids: ImageNet's
    ids of the net's classes, empty where they are unknown. own_images: whether the net was trained on these images.
    folders: the class folders that the net was trained on, which identify its classes; empty where there were none.
    """

    net: nn.Module
    data: Images
    classes: list[str]
    targets: list[int]
    truth: Callable[[SplitName, Sequence[int]], Truth] | None = None
    net_name: str = ""
    data_name: str = ""
    loss: str = "softmax"
    wnids: Sequence[str] = ()
    own_images: bool = False
    folders: Sequence[str] = ()

    def __repr__(self) -> str:
        name, shape = self.net_name or type(self.net).__name__, " x ".join(map(str, self.data.image_shape))
        splits = " and ".join(split for split in ("val", "train") if split not in self.data.missing)
        return f"{name} of {len(self.classes)} classes, with images of {shape} ({splits})"

    @property
    def device(self) -> torch.device:
        """The net's device; results come back to the CPU."""
        return next(self.net.parameters()).device

    @property
    def image_data(self) -> ImageData:
        """The data module of a subject that the program has opened."""
        assert isinstance(self.data, ImageData)
        return self.data

    def examples(self, split: SplitName, images: int | Sequence[int], seed: int = 0) -> Examples:
        """A number of images, evenly over the classes and chosen by seed, or the images of these indices.

        Raises UserError for an index outside the split.
        """
        index = self.data.choose(split, images, seed)
        image, label = self.data.images(split, index), self.data.labels(split, index)
        return Examples(index, image, self.data.pixels(split, index), label, self._target(image, label))

    def _target(self, image: Tensor, label: Tensor) -> Tensor:
        target = torch.tensor(self.targets)[label]
        if (target >= 0).all():
            return target
        with torch.inference_mode(), evaluating(self.net):
            probable = torch.cat([self.net(part.to(self.device)).argmax(1).cpu() for part in image.split(64)])
        return torch.where(target >= 0, target, probable)


def new_subject(settings: Settings, keep_classes: bool = False, parent: Mapping[str, Any] | None = None) -> Subject:
    """The net of conf/model for the classes of conf/data, with random weights or pretrained ones.

    keep_classes: whether a pretrained net keeps its classes instead of getting a new last layer for the data's.
    parent: the checkpoint whose weights the net will take; the net's input becomes that of the parent.
    """
    settings = sized(settings, parent)
    model, input_ = group_settings(settings, "model"), data_settings(settings)
    check_net(settings)
    images = job_source(settings)
    scale, mean = _input_of(parent, input_.stored_size)
    input_ = input_ if scale is None else data_settings(settings, scale)
    if "layers" in model:
        net = row_net(model, input_.image_size, len(images.classes), keep_classes)
        numbers = [f"class {number}" for number in range(net.classes)]
        classes = images.classes if net.classes == len(images.classes) else numbers
        return _subject(settings, net, images, ImageData(images, input_, mean), classes)
    check_names(model)
    library_net = foreign_net(model, input_.image_size, len(images.classes), keep_classes)
    trace(library_net.net, (3, input_.image_size, input_.image_size), _size_remedy(model))  # raises where it cannot
    input_ = data_settings(settings, scale or tuple(1 / (255 * std) for std in library_net.colors.std))
    mean = _one_color(library_net.colors.mean, input_.stored_size) if mean is None else mean
    # A net with no class names and as many classes as the images is taken to be trained on such images.
    unnamed = not library_net.has_class_names and len(library_net.classes or ()) == len(images.classes)
    classes = images.classes if unnamed else library_net.classes or images.classes
    return _subject(settings, library_net.net, images, ImageData(images, input_, mean), classes, library_net.wnids)


def check_net(settings: Settings, batch: int = 1, copies: int = 1) -> None:
    """Raises UserError for faulty rows of a net, or a net too large for the memory, before images are drawn or read.

    batch: images at a time. copies: of every number; training needs two.
    """
    model = group_settings(settings, "model")
    if "layers" in model:
        check_rows(model["layers"], data_settings(settings).image_size, model.get("width", 1.0), batch, copies)


def saved_subject(settings: Settings) -> Subject:
    """The net of the checkpoint settings["ckpt"], with the images it was trained on, or those of the command line.

    settings["words"]: the overrides of the command line. Without overrides of data the images are the checkpoint's.
    Raises UserError for a checkpoint that lacks its data, class names, mean or scale, as one of another program.
    """
    checkpoint = read_checkpoint(settings["ckpt"])
    about = checkpoint["convscope"]
    if absent := [key for key in ("data", "class_names", "mean", "pixel_scale") if key not in about]:
        raise UserError(f"{settings['ckpt']} does not say its {absent[0]}; take a checkpoint as convscope wrote it")
    check_words(settings, about)
    data, typed = dict(settings["data"]), None
    overrides = overrides_of(settings.get("words", []), "data")
    if not any(override.startswith("data=") for override in overrides):
        typed = {override.partition("=")[0].removeprefix("data.") for override in overrides}
        data = trained_data(about["data"], {key: value for key, value in data.items() if key in typed}, data)
    data |= {"image_size": about["net"]["image_size"]} | about.get("input", {})
    net = described_net(about["net"], settings["model"], settings["ckpt"])
    load_weights_(net, net_weights(checkpoint))
    scale = about["pixel_scale"]
    settings = {**settings, "data": data, "model": {"name": about["net"].get("name", "")}}
    input_ = data_settings(settings, tuple(scale) if isinstance(scale, list) else scale)
    images = job_source(settings)
    classes, folders = about["class_names"], about.get("class_folders", [])
    subject = _subject(settings, net, images, ImageData(images, input_, about["mean"]), classes, folders=folders)
    own_images = are_own_images(about, data, typed, images)
    return subject._replace(loss=about.get("loss", "softmax"), own_images=own_images)


def untrained_subject(settings: Settings) -> nn.Module:
    """The net of settings["ckpt"], or that of conf/model, with fresh random weights drawn by settings["seed"]."""
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.manual_seed(settings["seed"])
        if settings["ckpt"]:
            about = read_checkpoint(settings["ckpt"])["convscope"]
            return described_net(about["net"], settings["model"], settings["ckpt"])
        settings, model = sized(settings), group_settings(settings, "model")
        if "layers" in model or model.get("source") == "python":
            return new_subject({**settings, "model": {**model, "weights": None}}, keep_classes=True).net
        input_ = {"image_size": settings["data"]["image_size"], "transform_input": bool(model.get("weights"))}
        return library_nets.rebuild_library_net({**model, "classes": 1000, **input_})


def overrides_of(overrides: Sequence[str], group: str) -> list[str]:
    """The overrides of one config group, e.g. data=folder or data.limit=100, without their + and ~."""
    plain = [override.lstrip("+~") for override in overrides]
    return [override for override in plain if override.split("=")[0].split(".")[0] == group]


def _size_remedy(model: Settings) -> str:
    """What to type for a net without rows that cannot take images of this size."""
    if model["source"] == "python":
        return "set data.image_size to the side that it was made for"
    native = native_input(model["source"], model["name"], model.get("weights")).size
    return f"its own size is {native}: leave data.image_size out, or type data.image_size={native}"


def _input_of(parent: Mapping[str, Any] | None, stored: int) -> tuple[Any, torch.Tensor | None]:
    """The pixel_scale and mean image of the net that weights are taken from, so that a frozen row answers as before.

    None and None for a net without parent; no mean for images of another size, which have a mean of their own. The
    paper does not state it.
    """
    if parent is None:
        return None, None
    scale, mean = parent["convscope"]["pixel_scale"], parent["convscope"]["mean"]
    return tuple(scale) if isinstance(scale, list) else scale, mean if len(mean[0]) == stored else None


def _subject(
    settings: Settings,
    net: nn.Module,
    images: sources.Source,
    data: ImageData,
    classes: Sequence[str],
    wnids: Sequence[str] = (),
    folders: Sequence[str] = (),
) -> Subject:
    """The subject of a net with these names, ids and folders of its classes, among which the data's are searched.

    wnids: of nets with ImageNet's thousand names they need not be given.
    """
    if len(classes) == 1000 and list(classes) == list(imagenet().values()):
        wnids = list(imagenet())
    targets = class_numbers(images.classes, images.folders, classes, wnids, folders)
    classes = current_names(images.classes, images.folders, classes, folders)
    drawn = _truth(settings["data"], images, data.settings) if settings["data"]["source"] == "critters" else None
    names = net_name(settings["model"]), str(settings["data"]["source"])
    return Subject(net, data, classes, targets, drawn, *names, wnids=list(wnids), folders=list(folders))


def _truth(data: Settings, images: sources.Source, input_: DataSettings) -> Callable[[SplitName, Sequence[int]], Truth]:
    """A function to the masks and boxes of drawn images, in the pixels of the net's center crop."""
    side = input_.stored_size
    margin = (side - input_.image_size) // 2
    crop = slice(margin, margin + input_.image_size)

    def truth_of(split: SplitName, indices: Sequence[int]) -> Truth:
        labels = (images.train if split == "train" else images.val).labels
        limit = input_.limit
        drawn = np.arange(len(labels)) if limit is None else sources.evenly(labels, limit, input_.seed)
        whole = truth(data["draw_seed"], split, drawn[np.asarray(indices)].tolist(), side)
        return Truth(whole.masks[:, crop, crop], whole.boxes - margin)

    return truth_of


def _one_color(mean: Sequence[float], side: int) -> torch.Tensor:
    """The color that a pretrained net's input was centered on, as a mean image [3, R, R] of grey levels."""
    return (torch.tensor(mean) * 255).view(3, 1, 1).expand(3, side, side).contiguous()
