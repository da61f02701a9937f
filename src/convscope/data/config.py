"""conf/data as a data set, and as settings of its batches."""

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field

from convscope.config import NewPathText, PathOrUrl, Settings, build_config, config
from convscope.data import public_sets, sources
from convscope.data.classnames import csv_remarks
from convscope.data.critters.source import critters
from convscope.data.settings import DataSettings
from convscope.data.stream.source import stream
from convscope.data.trained_images import PLAIN
from convscope.data.transforms import stored_size
from convscope.data.voc import voc2012
from convscope.errors import UserError
from convscope.models.library_metadata import native_input
from convscope.models.nets import check_source

NO_KEYS = ("seed", "batch_size", "stored", "interpolation")  # fields of DataSettings that are no keys of conf/data
USUAL_SIDE = 224  # pixels, of a net that does not say its own
SMALL = {"critters": 96, "digits": 64, "cifar10": 64}  # image_size in conf/data, of sets of small images
_Config = TypeVar("_Config")


_IN_FOLDERS = {"images": sources.images, "imagenet": sources.imagenet}
_FETCHED = {
    "cifar10": public_sets.cifar10,
    "imagenette": public_sets.imagenette,
    "caltech101": public_sets.caltech101,
    "caltech256": public_sets.caltech256,
    "voc2012": voc2012,
}


def job_source(settings: Settings) -> sources.Source:
    """The data set of a job: training needs whole splits, other jobs take what there is of them."""
    data, job = settings["data"], settings.get("job")
    name, group = str(data.get("source")), settings.get(job or "")
    if job == "train" or name not in PLAIN:
        return source(data)
    with_test = isinstance(group, Mapping) and group.get("split") == "test"
    stored = _keys_of(StoredSet, data)
    root = public_sets.imagenette_folder(stored.root, stored.download) if name == "imagenette" else stored.root
    return _with_remarks(sources.present_splits(root, with_test, stored.val_share), root)


def _with_remarks(images: sources.Source, root: str | Path | None) -> sources.Source:
    """The source with what is to be known of the names of its classes."""
    remarks = csv_remarks(images.folders, Path(root or "").expanduser())
    return images._replace(remarks=[*images.remarks, *remarks])


def source(data: Settings) -> sources.Source:
    """The data set that conf/data names."""
    name = str(data.get("source"))
    if name == "digits":
        return public_sets.digits()
    if name == "critters":
        drawn, side = _keys_of(DrawnSet, data), data.get("stored") or stored_size(data["image_size"])
        return critters(drawn.train, drawn.val, side, drawn.draw_seed, Path(drawn.cache_dir).expanduser())
    possible = ("critters", "digits", "folder", *_IN_FOLDERS, *_FETCHED, "stream")
    if name not in possible:
        raise UserError(f"data.source={name} is unknown; possible: {', '.join(possible)}")
    stored = _keys_of(StoredSet, data)
    if name == "folder":
        return _with_remarks(sources.folder(stored.root, stored.val_share), stored.root)
    if name in _IN_FOLDERS:
        return _with_remarks(_IN_FOLDERS[name](stored.root), stored.root)
    if name in _FETCHED:
        return _FETCHED[name](stored.root, stored.download)
    return stream(stored.root, data["image_size"], Path(stored.cache_dir).expanduser(), stored.cache_gib)


@config("data")
class DrawnSet:
    """The keys of data=critters: how many animals are drawn, by which seed, and where they are kept."""

    train: int = 4000
    val: int = 1000
    draw_seed: Annotated[int, Field(ge=0)] = 0
    cache_dir: NewPathText = DataSettings.cache_dir


@config("data")
class StoredSet:
    """The keys of sets of image files, and of those that can be downloaded.

    val_share: of the images of each class of data=folder that are for validation; None: those of root/val are.
    """

    root: PathOrUrl | None = None
    val_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    download: bool = False
    cache_dir: NewPathText = DataSettings.cache_dir
    cache_gib: float = DataSettings.cache_gib


def default_keys() -> dict[str, Any]:
    """Every key of conf/data with its default, for images that no config names; image_size is None."""
    kinds: tuple[Any, ...] = (DrawnSet, StoredSet, DataSettings)
    values = {field.name: field.default for kind in kinds for field in fields(kind)}
    keys = {key: value for key, value in values.items() if key not in NO_KEYS}
    cache_dir = os.environ.get("CONVSCOPE_CACHE", DataSettings.cache_dir)
    return {"source": "images", **keys, "image_size": None, "cache_dir": cache_dir}


def _keys_of(kind: type[_Config], data: Settings) -> _Config:
    """The keys that this kind of set has. Raises UserError for those that are missing or of another type."""
    names = [field.name for field in fields(cast(Any, kind))]
    return build_config(kind, {name: data[name] for name in names if name in data})


def whole_source(settings: Settings) -> sources.Source:
    """The data set that conf/data names, at most data.limit images of each split."""
    settings = sized(settings)
    limits = data_settings(settings)
    full = source(settings["data"])
    train, val = sources.all_limited((full.train, full.val), limits.limit, limits.seed)
    return full._replace(train=train, val=val)


def data_settings(settings: Settings, pixel_scale: float | tuple[float, ...] | None = None) -> DataSettings:
    """conf/data as settings of the images; pixel_scale: in place of the one stored."""
    settings = sized(settings)
    data, batch = group_settings(settings, "data"), group_settings(settings, "optim").get("batch_size")
    values = {field.name: data[field.name] for field in fields(DataSettings) if field.name in data}
    values |= {"seed": settings["seed"], "batch_size": batch}
    if pixel_scale is not None:
        values["pixel_scale"] = pixel_scale
    if isinstance(values.get("pixel_scale"), list):
        values["pixel_scale"] = tuple(values["pixel_scale"])
    return build_config(DataSettings, values)


def sized(settings: Settings, parent: Mapping[str, Any] | None = None) -> Settings:
    """The settings with a number for data.image_size where it is null: the net's own, with crop and interpolation.

    A net of a library with learned weights is meant for that; one without takes small images as their set has them. A
    net that takes a checkpoint's weights sees images of its size. A set in chunks is as it was converted.
    """
    data = group_settings(settings, "data")
    if data.get("image_size") is not None or "layers" in (model := group_settings(settings, "model")):
        return settings
    if parent is not None:
        about = parent["convscope"]
        return {**settings, "data": {**data, "image_size": about["net"]["image_size"], **about.get("input", {})}}
    if not model.get("weights") and data.get("source") in SMALL:
        return {**settings, "data": {**data, "image_size": SMALL[data["source"]]}}
    check_names(model)
    if model["source"] == "python":
        return {**settings, "data": {**data, "image_size": USUAL_SIDE}}
    native = native_input(model["source"], model["name"], model.get("weights"))
    size: dict[str, Any] = {"image_size": native.size}
    if data.get("source") != "stream":
        size |= {"stored": native.stored, "interpolation": native.interpolation}
    return {**settings, "data": {**data, **size}}


def check_names(model: Settings) -> None:
    """Raises UserError where the name of a library's net, or of its weights, is no text."""
    check_source(model)
    for key in ("name", "weights"):
        if not isinstance(model.get(key), str if key == "name" else str | None):
            raise UserError(f"model.{key}={model.get(key)} is no name; e.g. model.name=vgg16 model.weights=DEFAULT")


def group_settings(settings: Settings, name: str) -> Settings:
    """The settings of one config group. Raises UserError where the group was removed from the command line."""
    group = settings.get(name)
    if not isinstance(group, Mapping):
        raise UserError(f"{name}={group} holds no settings; leave it out, or choose one: {name}=<choice>, see --help")
    return group
