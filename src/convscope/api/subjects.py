"""Any net of the user's own with any images, as the Subject that every analysis takes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from convscope.analyses.subject import Subject
from convscope.api.arguments import naming_arguments
from convscope.api.examination import examining, plain_net, random_numbers
from convscope.api.image_sets import (
    FileInput,
    LabeledSet,
    Numbers,
    dataset_of,
    images_of_dataset,
    images_of_files,
    is_of_files,
)
from convscope.data.classnames import class_numbers, distinct, imagenet, wnids_of
from convscope.data.images import SplitName
from convscope.data.items import colors_of_arguments
from convscope.data.module import ImageData
from convscope.engine.trace import image_shape, trace
from convscope.errors import UserError, reason_of
from convscope.models.build import ConvNet
from convscope.models.library_metadata import Colors

SIZE = 224  # pixels of images of files where the net says nothing of its input


def subject(
    net: nn.Module,
    images: Any,
    classes: Sequence[str] | Literal["imagenet"] | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    *,
    train: Any = None,
    labels: Any = None,
    image_size: int | None = None,
    batch_size: int = 64,
    name: str = "",
) -> Subject:
    """Any net with any images, for every analysis; the net stays as it is, on its device.

    net: an nn.Module whose forward takes images [N, C, H, W] and returns logits [N, K] (alone, as .logits, or in a
    tuple or dict). images: a map-style data set or its DataLoader, whose items hold an image [C, H, W] as the net takes
    it and a label; a tensor [N, C, H, W], with labels= [N] where they are known; a pair (images, labels); or a folder
    or list of image files, which are resized to image_size (224, or what a timm net says) and normalized.
    classes: names of the net's classes, or "imagenet". mean, std: 1 or 3 numbers, by which the images were normalized,
    pixels from 0 to 1; None: those of the data set's Normalize, or of a timm net; images that nothing is known of are
    stretched for display. train: images to compare with, in the same form (transfer, neighbors). name: of the net.

    A net of another precision is looked at as a float32 copy. Raises UserError for what holds no images, for files
    without mean and std, and for images that the net cannot take.
    """
    with naming_arguments(image_size=image_size, batch_size=batch_size), random_numbers(torch.device("cpu")):
        plain, colors = plain_net(net), colors_of_arguments(mean, std)
        if is_of_files(images):
            if labels is not None:
                raise UserError("labels= goes with a tensor of images; files are labeled by their class folders")
            files = images_of_files(images, train, _file_input(plain, colors, image_size), batch_size)
            outputs = _outputs(plain, files.image_shape)
            return _of_files(plain, files, _names(plain, classes, outputs), outputs, name)
        datasets: dict[SplitName, Any] = {"val": dataset_of(images, labels)}
        if train is not None:
            datasets["train"] = dataset_of(train)
        labeled = images_of_dataset(datasets, colors, batch_size)
        outputs = _outputs(plain, labeled.images.image_shape)
        return _of_dataset(plain, labeled, _names(plain, classes, outputs), outputs, name)


def as_subject(net: Any, images: Any) -> Subject:
    """The subject of an analysis that was called with a Subject, or with a net and images."""
    if isinstance(net, Subject):
        if images is not None:
            raise UserError("a Subject has its images; leave the second argument out, or pass a net and images")
        return net
    if isinstance(images, Subject):
        raise UserError("images is a Subject, which has a net of its own; pass it alone")
    if images is None:
        plain_net(net)  # raises for what is no net
        raise UserError(
            "images are missing: pass a net and images, or the Subject that convscope.subject makes of both"
        )
    return subject(net, images)


class _Known(NamedTuple):
    """names: of the net's classes, None where they have none. wnids: ImageNet's ids of them."""

    names: list[str] | None
    wnids: list[str]


def _outputs(net: nn.Module, shape: tuple[int, ...]) -> int:
    """The number of the net's classes K; 0 for a net that returns no [N, K]. Raises UserError as `trace`."""
    with examining(net):
        trace(net, image_shape(shape), "pass images as the net takes them")
        with torch.inference_mode():
            like = next(weight for weight in net.parameters() if weight.is_floating_point())
            try:
                output = net(torch.zeros(1, *shape, device=like.device))
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                shown = " x ".join(map(str, shape))
                raise UserError(f"the net cannot take an image of {shown} ({reason_of(error, 160)})") from error
    return int(output.shape[1]) if output.dim() == 2 else 0


def _names(net: nn.Module, classes: Any, outputs: int) -> _Known:
    """The names in `classes`, or of a net of transformers. Raises UserError where their number is not the net's."""
    if classes is None:
        by_number: Any = getattr(getattr(net, "config", None), "id2label", None)
        named = isinstance(by_number, Mapping) and len(by_number) == outputs
        return _Known([str(by_number[key]) for key in sorted(by_number)] if named else None, [])
    if isinstance(classes, str) and classes != "imagenet":
        raise UserError(f'classes={classes!r} is one word; pass a list of names, or classes="imagenet"')
    names = list(imagenet().values()) if isinstance(classes, str) else [str(name) for name in classes]
    if outputs and len(names) != outputs:
        raise UserError(f"classes has {len(names)} names, and the net puts out {outputs} numbers; pass one for each")
    return _Known(names, list(imagenet()) if names == list(imagenet().values()) else [])


def _of_dataset(net: nn.Module, labeled: LabeledSet, known: _Known, outputs: int, name: str) -> Subject:
    """The subject of images of a data set: its classes are matched by name, or by number where there are none."""
    data, names = labeled.images, known.names
    if not labeled.limit:
        data.name_classes(["unlabeled"])
        return _subject(net, data, names or _numbered(outputs), [-1], name, known.wnids)
    if labeled.names is None:
        names = names or _numbered(outputs)
        fits = labeled.limit <= outputs
        data.name_classes(names if fits else _numbered(labeled.limit))
        return _subject(net, data, names, [*range(outputs)] if fits else [-1] * labeled.limit, name, known.wnids)
    data.name_classes(_readable(labeled.names))
    names = names or (list(data.classes) if len(labeled.names) == outputs else _numbered(outputs))
    targets = class_numbers(data.classes, labeled.names, names, known.wnids)
    if len(labeled.names) == outputs and all(target < 0 for target in targets):
        targets = list(range(outputs))
    return _subject(net, data, names, targets, name, known.wnids)


def _of_files(net: nn.Module, data: ImageData, known: _Known, outputs: int, name: str) -> Subject:
    """The subject of image files, whose classes are those of their folders."""
    unnamed = list(data.classes) if len(data.classes) == outputs else _numbered(outputs)
    names = known.names or unnamed
    targets = class_numbers(data.classes, data.folders, names, known.wnids)
    return _subject(net, data, names, targets, name, known.wnids)


def _subject(net: nn.Module, data: Any, names: list[str], targets: list[int], name: str, wnids: list[str]) -> Subject:
    return Subject(net, data, names, targets, net_name=name or type(net).__name__, data_name="images", wnids=wnids)


def _numbered(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def _readable(names: list[str]) -> list[str]:
    """The names, ImageNet's ids among them as words."""
    ids = wnids_of(names)
    words = imagenet() if any(ids) else {}
    return distinct([words.get(wnid, name) for name, wnid in zip(names, ids, strict=True)], names)


def _file_input(net: nn.Module, colors: Colors | None, image_size: int | None) -> FileInput:
    """The input for files: of the arguments, else of a timm net's pretrained_cfg, else 224 pixels."""
    config: Any = getattr(net, "pretrained_cfg", None)
    if not isinstance(config, Mapping) or not config.get("mean") or not config.get("input_size"):
        native = net.image_size if isinstance(net, ConvNet) else SIZE
        return FileInput(native if image_size is None else image_size, colors)
    colors = colors or Colors(tuple(config["mean"]), tuple(config["std"]))
    size = int(config["input_size"][-1])
    if image_size not in (None, size):
        return FileInput(image_size or size, colors)
    stored = max(size, math.floor(size / config.get("crop_pct", 0.875)))  # as in timm's own transforms
    return FileInput(size, colors, stored, "bicubic" if config.get("interpolation") == "bicubic" else "bilinear")
