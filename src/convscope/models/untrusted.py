"""Files of weights and checkpoints that may come from anybody: read without running code, and checked before use.

A file can carry code, grow when it is unpacked, claim tensors that it does not hold, or describe a net that would fill
the memory. Every check that decides whether a checkpoint or a weights file is believed is here.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from convscope.errors import UserError, reason_of
from convscope.models.rows import read_rows, weight_counts

LONGEST_NAME = 1000  # letters of a class's name
MESSAGE_NAMES = 4  # names of weights in a message


def load_tensors(path: Path, kind: str, remedy: str) -> Any:
    """Content of a file that torch.save wrote, on the CPU: tensors and plain values. No code in the file runs.

    kind: what the file should be, for the message. remedy: what to do instead. Raises UserError, with both, for a file
    that cannot be read, holds pickled objects or a scripted net, or is compressed.
    """
    cause, reason = None, _archive_problem(path) if zipfile.is_zipfile(path) else ""
    if not reason:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a malicious file may raise anything
            cause, reason = error, reason_of(error, 120)
            if pickled := re.search(r"GLOBAL (\S+)", str(error)):
                reason = f"it holds pickled Python objects ({pickled[1][:80]}), which could run code"
    raise UserError(f"{path} cannot be read as {kind} ({reason}); {remedy}") from cause


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file by name, on the CPU. Raises UserError for a file that cannot be read."""
    try:
        return load_file(path)
    except Exception as error:  # a damaged or malicious file may raise anything
        raise UserError(f"{path} cannot be read as safetensors ({reason_of(error, 120)}); take another file") from error


def check_finite(net: nn.Module, where: str) -> None:
    """Raises UserError, which lists the weights of the net that are nan or infinite."""
    values = net.state_dict().items()
    if broken := [name for name, value in values if value.is_floating_point() and not value.isfinite().all()]:
        raise UserError(f"{where} holds weights that are nan or infinite: {listed(broken)}; take another file")


def is_plain_tensor(value: Any) -> bool:
    """Whether the value is a dense tensor on the CPU with all its numbers in the file.

    A tensor of stride 0 could make a billion numbers of one.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def listed(names: list[str]) -> str:
    """The first names, cut to 80 letters each, and how many follow: "a, b, c, d and 12 more"."""
    more = len(names) - MESSAGE_NAMES
    return ", ".join(name[:80] for name in names[:MESSAGE_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def check_checkpoint(checkpoint: Mapping[str, Any], where: str) -> None:
    """Raises UserError where the description of net and input has another form, or does not fit the weights."""

    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise UserError(f"{where} holds {problem}; take a checkpoint as convscope wrote it")

    about, state = checkpoint["convscope"], checkpoint["state_dict"]
    require(isinstance(about, Mapping) and isinstance(about.get("net"), Mapping), "no description of its net")
    require(isinstance(state, Mapping) and all(isinstance(name, str) for name in state), "no weights by name")
    plain = all(is_plain_tensor(value) for value in state.values())
    require(plain, "weights that are no tensors, or larger than the file")
    net, side = about["net"], about["net"].get("image_size")
    require(type(side) is int and 8 <= side <= 2**16, f"a net for images of {side!r} pixels")
    require(_are_class_names(about.get("class_names", [""])), "names of classes that are no names")
    require(type(net.get("classes")) is int and net["classes"] > 0, f"a net of {net.get('classes')!r} classes")
    require(_is_resizing(about.get("input", {}), side), "an unknown way to bring images to the net's size")
    stored = about.get("input", {}).get("stored") or round(side * 256 / 224)
    require("mean" not in about or _is_mean_image(about["mean"], stored), "a mean image of another shape")
    scale = about.get("pixel_scale", 1.0)
    require(_is_pixel_scale(scale), f"a scale of pixels that is none, {scale!r}")
    require(about.get("loss", "softmax") in ("softmax", "multilabel"), f"an unknown loss, {about.get('loss')!r}")
    data = about.get("data", {"source": ""})
    require(isinstance(data, Mapping) and isinstance(data.get("source"), str), "no description of its images")
    if "layers" in net:
        _check_weight_count(net, state, where)
    else:
        require(all(isinstance(net.get(key), str) for key in ("source", "name")), "a net without a name")


def _check_weight_count(net: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> None:
    """Compares the rows with the tensors, so that a wrong size of a row ends in a message and not in a huge net."""
    described = sum(weight_counts(read_rows(net["layers"], net["classes"]), net["image_size"]).values())
    stored = sum(value.numel() for name, value in state.items() if name.startswith("net."))
    if described != stored:
        raise UserError(
            f"{where} describes a net of {described:,} weights and holds {stored:,}; it is damaged, take another"
        )


def _is_resizing(settings: Any, side: int) -> bool:
    """Whether these are the stored side (None: the paper's) and the interpolation, as data/settings.py writes them."""
    if not isinstance(settings, Mapping) or not settings.keys() <= {"stored", "interpolation"}:
        return False
    stored = settings.get("stored")
    fits = stored is None or (type(stored) is int and side <= stored <= 4 * side)
    return fits and settings.get("interpolation", "bilinear") in ("bilinear", "bicubic")


def _is_mean_image(mean: Any, stored: int) -> bool:
    fits = is_plain_tensor(mean) and tuple(mean.shape) == (3, stored, stored) and mean.dtype == torch.float32
    return fits and bool(torch.isfinite(mean).all())


def _are_class_names(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(name, str) and _is_text(name) for name in names)


def _is_text(name: str) -> bool:
    return len(name) <= LONGEST_NAME and not re.search("[\ud800-\udfff]", name)  # surrogates cannot be written to files


def _is_pixel_scale(scale: Any) -> bool:
    factors = scale if isinstance(scale, list) and len(scale) == 3 else [scale]
    return all(type(factor) in (int, float) and 0 < factor < 1e6 for factor in factors)


def _archive_problem(path: Path) -> str:
    """Why a zip archive is no plain file of torch.save; "" where it may be one. Nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        return reason_of(error, 120)
    if any(member.filename.endswith("/constants.pkl") for member in members):
        return "it holds a whole scripted net"
    if sum(member.file_size for member in members) > path.stat().st_size:
        return "it is compressed, as torch.save writes no file"
    return ""
