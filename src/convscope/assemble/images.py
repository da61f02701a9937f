"""conf/data as a data set, and as what becomes of its images."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from convscope.data import sources
from convscope.data.critters import critters
from convscope.data.settings import DataSettings
from convscope.data.stream import stream
from convscope.data.transforms import stored_size
from convscope.data.voc import voc2012
from convscope.plans import read_plan
from convscope.problem import Problem

Settings = Mapping[str, Any]


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


def whole(settings: Settings) -> sources.Source:
    """The data set that conf/data names, of each split at most data.limit images."""
    chosen = data_settings(settings)
    found = source(settings["data"])
    train, val = (sources.limited(split, chosen.limit, chosen.seed) for split in (found.train, found.val))
    return found._replace(train=train, val=val)


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


def group(settings: Settings, name: str) -> Settings:
    """A config group's own settings; Problem where it was taken away."""
    found = settings.get(name)
    if not isinstance(found, Mapping):
        raise Problem(f"{name}={found} holds no settings; leave it out, or choose one: {name}=<choice>, see --help")
    return found
