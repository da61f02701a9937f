"""Whether a checkpoint says what can be true: it may come from anybody, and its words decide what is built and read."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from convscope.errors import UserError
from convscope.models.rows import read_rows, weight_counts

LONGEST = 1000  # letters of a class's name


def check_checkpoint(held: Mapping[str, Any], where: str) -> None:
    """Raises UserError where the description of net and input is of another form, or does not fit the weights."""

    def hold(true: bool, what: str) -> None:
        if not true:
            raise UserError(f"{where} holds {what}; take a checkpoint as convscope wrote it")

    about, state = held["convscope"], held["state_dict"]
    hold(isinstance(about, Mapping) and isinstance(about.get("net"), Mapping), "no description of its net")
    hold(isinstance(state, Mapping) and all(isinstance(name, str) for name in state), "no weights by name")
    hold(
        all(is_plain_tensor(value) for value in state.values()), "weights that are no tensors, or larger than the file"
    )
    net, side = about["net"], about["net"].get("image_size")
    hold(type(side) is int and 8 <= side <= 2**16, f"a net for images of {side!r} pixels")
    hold(_are_names(about.get("class_names", [""])), "names of classes that are no names")
    hold(type(net.get("classes")) is int and net["classes"] > 0, f"a net of {net.get('classes')!r} classes")
    hold(_is_input(about.get("input", {}), side), "an unknown way to bring images to the net's size")
    stored = about.get("input", {}).get("stored") or round(side * 256 / 224)
    hold("mean" not in about or _is_mean(about["mean"], stored), "a mean image of another shape")
    hold(_is_scale(about.get("pixel_scale", 1.0)), f"a scale of pixels that is none, {about.get('pixel_scale')!r}")
    hold(about.get("loss", "softmax") in ("softmax", "multilabel"), f"an unknown loss, {about.get('loss')!r}")
    data = about.get("data", {"source": ""})
    hold(isinstance(data, Mapping) and isinstance(data.get("source"), str), "no description of its images")
    if "layers" in net:
        _check_rows(net, state, where)
    else:
        hold(all(isinstance(net.get(key), str) for key in ("source", "name")), "a net without a name")


def _check_rows(net: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> None:
    """The rows have as many weights as the file holds: a lie about their size costs nothing but this line."""
    counts = weight_counts(read_rows(net["layers"], net["classes"]), net["image_size"])
    told = sum(counts.values())
    held = sum(value.numel() for name, value in state.items() if name.startswith("net."))
    if told != held:
        raise UserError(f"{where} describes a net of {told:,} weights and holds {held:,}; it is damaged, take another")


def is_plain_tensor(value: Any) -> bool:
    """A plain tensor in memory whose numbers are all in the file; strides could make a thousand of one."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _is_input(way: Any, side: int) -> bool:
    """What data/settings.py has of it: the stored side, None for the paper's, and the interpolation."""
    if not isinstance(way, Mapping) or not way.keys() <= {"stored", "interpolation"}:
        return False
    stored = way.get("stored")
    fits = stored is None or (type(stored) is int and side <= stored <= 4 * side)
    return fits and way.get("interpolation", "bilinear") in ("bilinear", "bicubic")


def _is_mean(mean: Any, stored: int) -> bool:
    right = is_plain_tensor(mean) and tuple(mean.shape) == (3, stored, stored) and mean.dtype == torch.float32
    return right and bool(torch.isfinite(mean).all())


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(n, str) and _is_text(n) for n in names)


def _is_text(name: str) -> bool:
    return len(name) <= LONGEST and not re.search("[\ud800-\udfff]", name)  # half a letter: no file takes it


def _is_scale(scale: Any) -> bool:
    each = scale if isinstance(scale, list) and len(scale) == 3 else [scale]
    return all(type(one) in (int, float) and 0 < one < 1e6 for one in each)
