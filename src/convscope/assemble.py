"""Settings (plain values from conf/) to objects: the data, the net, what to show of it.

Jobs get what they need from here; none of them sees the settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from convscope.data import sources
from convscope.data.critters import Truth, critters, truth
from convscope.data.module import DataSettings, ImageData, SplitName
from convscope.data.stream import stream
from convscope.data.transforms import stored_size
from convscope.data.voc import voc2012
from convscope.gallery import Choice
from convscope.nets import foreign
from convscope.nets.anatomy import anatomy
from convscope.nets.build import ConvNet, build
from convscope.nets.trace import trace
from convscope.nets.weights import describe, load_weights_, net_weights, read_checkpoint, rebuild
from convscope.plans import read_plan
from convscope.problem import Problem
from convscope.subject import Subject, matched

Settings = Mapping[str, Any]


def choice(evolution: Settings) -> Choice:
    """conf/evolution as a Choice."""
    return read_plan(Choice, "evolution", evolution)


def source(data: Settings) -> sources.Source:
    """The data set that conf/data names."""
    _check_source(data)
    match data.get("source"):
        case "critters":
            cache = Path(data["cache_dir"]).expanduser()
            return critters(data["train"], data["val"], stored_size(data["image_size"]), data["draw_seed"], cache)
        case "digits":
            return sources.digits()
        case "folder":
            return sources.folder(data["root"])
        case "images":
            return sources.images(data["root"])
        case "imagenet":
            return sources.imagenet(data["root"])
        case "imagenette":
            return sources.imagenette(data["root"], data["download"])
        case "cifar10":
            return sources.cifar10(data["root"], data["download"])
        case "caltech101":
            return sources.caltech101(data["root"], data["download"])
        case "caltech256":
            return sources.caltech256(data["root"], data["download"])
        case "voc2012":
            return voc2012(data["root"], data["download"])
        case "stream":
            cache = Path(data["cache_dir"]).expanduser()
            return stream(data["root"], data["image_size"], cache, data["cache_gib"])
    raise Problem(
        f"data.source={data.get('source')} is unknown; possible: critters, digits, folder, images, cifar10, "
        "imagenette, imagenet, caltech101, caltech256, voc2012, stream"
    )


@dataclass(frozen=True)
class _Drawn:
    train: int
    val: int
    draw_seed: int

    def __post_init__(self) -> None:
        if self.draw_seed < 0:
            raise Problem(f"data.draw_seed={self.draw_seed} is no seed; take a whole number from 0 on")


@dataclass(frozen=True)
class _Kept:
    root: str | None
    download: bool = False


def _check_source(data: Settings) -> None:
    """Raises Problem for keys of a source that are missing or of another type."""
    kind = {"critters": _Drawn, "digits": None}.get(str(data.get("source")), _Kept)
    if kind is not None:
        read_plan(kind, "data", {field.name: data[field.name] for field in fields(kind) if field.name in data})


def group(settings: Settings, name: str) -> Settings:
    """A config group's own settings; Problem where it was taken away."""
    found = settings.get(name)
    if not isinstance(found, Mapping):
        raise Problem(f"{name}={found} holds no settings; leave it out, or choose one: {name}=<choice>, see --help")
    return found


def whole(settings: Settings) -> sources.Source:
    """The data set that conf/data names, of each split at most data.limit images."""
    chosen = data_settings(settings)
    found = source(settings["data"])
    train, val = (sources.limited(split, chosen.limit, chosen.seed) for split in (found.train, found.val))
    return found._replace(train=train, val=val)


def new(settings: Settings, keep_classes: bool = False, parent: Mapping[str, Any] | None = None) -> Subject:
    """The net of conf/model for the classes of conf/data, its weights still to be set, or pretrained ones.

    keep_classes: a pretrained net keeps the classes it knows instead of getting a new last layer for the data's.
    parent: the checkpoint whose weights the net will take; it gets the input that those are used to.
    """
    model, data = group(settings, "model"), group(settings, "data")
    given = data_settings(settings)  # before images are drawn or read
    found = source(data)
    scale, mean = _input_of(parent, given.image_size)
    chosen = given if scale is None else data_settings(settings, scale)
    if "layers" in model:
        net = build(model["layers"], chosen.image_size, len(found.classes), model.get("width", 1.0))
        return _subject(settings, net, found, ImageData(found, chosen, mean), found.classes)
    own = keep_classes and (model.get("weights") or len(found.classes) == 1)  # unlabeled images have no classes
    made = _foreign(model, None if own else len(found.classes))
    trace(made.net, (3, chosen.image_size, chosen.image_size))  # told now where it cannot take such an image
    chosen = data_settings(settings, scale or tuple(1 / (255 * std) for std in made.colors.std))
    images = ImageData(found, chosen, _one_color(made.colors.mean, chosen.image_size) if mean is None else mean)
    return _subject(settings, made.net, found, images, made.classes or found.classes)


def _input_of(parent: Mapping[str, Any] | None, image_size: int) -> tuple[Any, torch.Tensor | None]:
    """(pixel_scale, mean image) of the net that weights are taken from, so that a frozen row answers as it did.

    None for a net without parent; no mean for images of another size, which have their own. The paper is silent here.
    """
    if parent is None:
        return None, None
    scale, mean = parent["convscope"]["pixel_scale"], parent["convscope"]["mean"]
    return tuple(scale) if isinstance(scale, list) else scale, mean if len(mean[0]) == stored_size(image_size) else None


def saved(settings: Settings) -> Subject:
    """The net of the checkpoint settings["ckpt"], with the images it was trained on, or those the command line names.

    settings["words"]: the words of the command line. Where none of them speaks of data it is the checkpoint's own.
    """
    held = read_checkpoint(settings["ckpt"])
    about = held["convscope"]
    if absent := [key for key in ("data", "class_names", "mean", "pixel_scale") if key not in about]:
        raise Problem(f"{settings['ckpt']} does not say its {absent[0]}; take a checkpoint as convscope wrote it")
    data = dict(settings["data"])
    words = said(settings.get("words", []), "data")
    if not any(word.startswith("data=") for word in words):
        given = {word.partition("=")[0].removeprefix("data.") for word in words}
        data = about["data"] | {key: value for key, value in data.items() if key in given}
    data["image_size"] = about["net"]["image_size"]
    net = _described(about["net"])
    load_weights_(net, net_weights(held))
    scale = about["pixel_scale"]
    model = {"name": about["net"].get("name", "")}
    settings = {**settings, "data": data, "model": model}
    chosen = data_settings(settings, tuple(scale) if isinstance(scale, list) else scale)
    found = source(data)
    subject = _subject(settings, net, found, ImageData(found, chosen, about["mean"]), about["class_names"])
    return subject._replace(loss=about.get("loss", "softmax"))


def untrained(settings: Settings) -> nn.Module:
    """The net of settings["ckpt"], or that of conf/model, with fresh random weights drawn by settings["seed"]."""
    with torch.random.fork_rng():
        torch.manual_seed(settings["seed"])
        if settings["ckpt"]:
            return _described(read_checkpoint(settings["ckpt"])["convscope"]["net"])
        return new({**settings, "model": {**settings["model"], "weights": None}}).net


def _described(about: Mapping[str, Any]) -> nn.Module:
    """The net that a checkpoint describes, with fresh weights."""
    if "layers" in about:
        return rebuild(about)
    return _foreign({**about, "weights": None}, about["classes"]).net


def said(words: Sequence[str], group: str) -> list[str]:
    """The words of a command line that speak of a config group, e.g. data=folder or data.limit=100."""
    plain = [word.lstrip("+~") for word in words]
    return [word for word in plain if word.split("=")[0].split(".")[0] == group]


def _subject(
    settings: Settings, net: nn.Module, found: sources.Source, data: ImageData, classes: Sequence[str]
) -> Subject:
    """classes: names of the net's classes; the data's are found among them by name, unless they are as they stand."""
    same = list(classes) == list(found.classes)
    targets = list(range(len(classes))) if same else matched(found.classes, classes)
    drawn = _truth(settings["data"], found, data.settings) if settings["data"]["source"] == "critters" else None
    names = str(settings["model"]["name"]), str(settings["data"]["source"])
    return Subject(net, data, list(classes), targets, drawn, *names)


def _truth(data: Settings, found: sources.Source, chosen: DataSettings) -> Callable[[SplitName, Sequence[int]], Truth]:
    """What is where in drawn images, in the pixels of the net's center crop."""
    side = stored_size(chosen.image_size)
    margin = (side - chosen.image_size) // 2
    seen = slice(margin, margin + chosen.image_size)

    def of(split: SplitName, indices: Sequence[int]) -> Truth:
        labels = (found.train if split == "train" else found.val).labels
        limit = chosen.limit
        drawn = np.arange(len(labels)) if limit is None else sources.evenly(labels, limit, chosen.seed)
        whole = truth(data["draw_seed"], split, drawn[np.asarray(indices)].tolist(), side)
        return Truth(whole.masks[:, seen, seen], whole.boxes - margin)

    return of


def description(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What every checkpoint says of its net and its input: plain values and the mean image."""
    net, data = subject.net, subject.data
    if isinstance(net, ConvNet):
        about: dict[str, Any] = describe(net) | {"name": subject.net_name}
    else:
        model = settings["model"]
        about = {"source": model["source"], "name": model["name"], "classes": len(data.classes)}
        about["image_size"] = data.settings.image_size
    scale = data.settings.pixel_scale
    return {
        "net": about,
        "class_names": list(data.classes),
        "mean": data.mean,
        "pixel_scale": list(scale) if isinstance(scale, tuple) else scale,
        "loss": settings["optim"].get("loss", "softmax"),
        "data": dict(settings["data"]),
    }


def facts(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What summary.json says of the run before it begins."""
    net, data = subject.net, subject.data
    return {
        "job": settings["job"],
        "name": settings["name"],
        "seed": settings["seed"],
        "data": subject.data_name,
        "classes": list(data.classes),
        "net": {
            "name": subject.net_name,
            "image_size": data.settings.image_size,
            "parameters": sum(weight.numel() for weight in net.parameters()),
            "rows": anatomy(net, data.settings.image_size),
        },
    }


def shown(settings: Settings, subject: Subject) -> tuple[int, int, int]:
    """How many epochs a training run shows, of how many layers, and how many maps of all of them together."""
    chosen, last = choice(settings["evolution"]), settings["trainer"]["max_epochs"]
    epochs = sum(chosen.at(epoch) for epoch in range(1, last + 1))
    layers = chosen.chosen_layers(subject.net, subject.data.settings.image_size)
    if isinstance(chosen.maps, int):
        return epochs, len(layers), len(layers) * chosen.maps
    return epochs, len(layers), sum(len(maps) for maps in chosen.maps.values())


def device(accelerator: str) -> torch.device:
    """Where a finished net is looked at: trainer.accelerator in Lightning's words; auto: a GPU where there is one."""
    gpu = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there = [name for name, available in gpu.items() if available]
    if not isinstance(accelerator, str):
        raise Problem(
            f"trainer.accelerator={accelerator} is not to be had here; possible: {', '.join([*there, 'cpu'])}"
        )
    wanted = {"auto": there[:1] or ["cpu"], "gpu": there, "cpu": ["cpu"]}.get(accelerator, [accelerator])
    if not set(wanted) & {*there, "cpu"}:
        raise Problem(
            f"trainer.accelerator={accelerator} is not to be had here; possible: {', '.join([*there, 'cpu'])}"
        )
    return torch.device(wanted[0])


def data_settings(settings: Settings, pixel_scale: float | tuple[float, ...] | None = None) -> DataSettings:
    """conf/data as settings of the images; pixel_scale: in place of the one there."""
    data, batch = group(settings, "data"), group(settings, "optim").get("batch_size")
    values = {field.name: data[field.name] for field in fields(DataSettings) if field.name in data}
    values |= {"seed": settings["seed"], "batch_size": batch}
    if pixel_scale is not None:
        values["pixel_scale"] = pixel_scale
    if isinstance(values.get("pixel_scale"), list):
        values["pixel_scale"] = tuple(values["pixel_scale"])
    return read_plan(DataSettings, "data", values, {"seed": "seed", "batch_size": "optim.batch_size"})


def _foreign(model: Settings, classes: int | None) -> foreign.Foreign:
    make = {"torchvision": foreign.torchvision_net, "timm": foreign.timm_net}
    if model.get("source") not in make:
        raise Problem(
            f"model.source={model.get('source')} is unknown; a model has layers (rows), or source: torchvision, timm"
        )
    for key in ("name", "weights"):
        if not isinstance(model.get(key), str if key == "name" else str | None):
            raise Problem(f"model.{key}={model.get(key)} is no name; e.g. model.name=vgg16 model.weights=DEFAULT")
    return make[model["source"]](model["name"], model.get("weights"), classes)


def _one_color(mean: Sequence[float], image_size: int) -> torch.Tensor:
    """[3,R,R] grey levels: the color that a pretrained net's input was centered on, as a mean image."""
    side = stored_size(image_size)
    return (torch.tensor(mean) * 255).view(3, 1, 1).expand(3, side, side).contiguous()
