"""Files of weights and checkpoints that may come from anybody: read without running code, and checked before use.

A file can carry code, grow when it is unpacked, claim tensors that it does not hold, or describe a net that would fill
the memory. Every check that decides whether a checkpoint or a weights file is believed is here.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from convscope.errors import UserError, reason_of
from convscope.models.row_sizes import statistic_counts, weight_counts
from convscope.models.rows import read_rows

LONGEST_NAME = 1000  # letters of a class's name
LONGEST_ARGUMENTS = 100_000  # letters of model.args
MESSAGE_NAMES = 5  # names of weights in a message


def load_tensors(path: Path, kind: str, remedy: str, harmless: Sequence[Any] = ()) -> Any:
    """Content of a file that torch.save wrote, on the CPU: tensors and plain values. No code in the file runs.

    kind: what the file should be, for the message. remedy: what to do instead. harmless: classes of other values that
    may be in the file. Raises UserError, with kind and remedy, for a file that cannot be read, holds pickled objects
    or a scripted net, or is compressed.
    """
    is_archive = zipfile.is_zipfile(path)
    cause, reason = None, _archive_problem(path) if is_archive else ""
    if not reason:
        try:
            with torch.serialization.safe_globals(list(harmless)):
                return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a malicious file may raise anything
            cause, reason = error, reason_of(error, 120)
            if pickled := re.search(r"GLOBAL (\S+)", str(error)):
                reason = f"it holds pickled Python objects ({pickled[1][:80]}), which could run code"
            elif not is_archive and not isinstance(error, OSError | EOFError):
                reason = "it is damaged, or torch.save did not write it"
            elif isinstance(error, UnpicklingError):  # torch writes of its own arguments here
                reason = "it holds more than tensors and plain values"
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
    """The first names, cut to 80 letters each, and how many follow: "a, b, c, d, e and 12 more"."""
    more = len(names) - MESSAGE_NAMES
    return ", ".join(name[:80] for name in names[:MESSAGE_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def check_checkpoint(checkpoint: Mapping[str, Any], where: str) -> None:
    """Raises UserError where the description of net and input has another form, or does not fit the weights."""
    about, state = checkpoint["convscope"], checkpoint["state_dict"]
    problem = description_problem(about)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        problem = problem or "no weights by name"
    elif not all(is_plain_tensor(value) for value in state.values()):
        problem = problem or "weights that are no tensors, or larger than the file"
    if problem:
        raise UserError(f"{where} holds {problem}; take a checkpoint as convscope wrote it")
    if "layers" in about["net"]:
        _check_weight_count(about["net"], state, where)


def description_problem(about: Any) -> str:
    """What a checkpoint may not say about net and input; "" for a description that is believed.

    A run asks before it trains, so that its checkpoints can be read.
    """
    if not isinstance(about, Mapping) or not isinstance(about.get("net"), Mapping):
        return "no description of its net"
    net, side = about["net"], about["net"].get("image_size")
    if type(side) is not int or not 8 <= side <= 2**16:
        return f"a net for images of {side!r} pixels"
    names, folders, input_ = about.get("class_names", [""]), about.get("class_folders", []), about.get("input", {})
    if problem := class_names_problem(names, folders):
        return problem
    if type(net.get("classes")) is not int or net["classes"] < 1:
        return f"a net of {net.get('classes')!r} classes"
    if not _is_resizing(input_, side):
        return "an unknown way to bring images to the net's size"
    if "mean" in about and not _is_mean_image(about["mean"], input_.get("stored") or round(side * 256 / 224)):
        return "a mean image of another shape"
    return _rest_problem(about)


def _rest_problem(about: Mapping[str, Any]) -> str:
    """What is wrong with the scale of pixels, the loss, the images or the name of the net; "" where nothing is."""
    scale, loss, data = about.get("pixel_scale", 1.0), about.get("loss", "softmax"), about.get("data", {"source": ""})
    if not _is_pixel_scale(scale):
        return f"a scale of pixels that is none, {scale!r}"
    if loss not in ("softmax", "multilabel"):
        return f"an unknown loss, {loss!r}"
    if not isinstance(data, Mapping) or not isinstance(data.get("source"), str):
        return "no description of its images"
    net = about["net"]
    if "layers" in net:
        return ""
    if not all(isinstance(net.get(key), str) for key in ("source", "name")):
        return "a net without a name"
    if net["source"] != "python":
        return ""
    if net["classes"] != len(about.get("class_names", [])):
        return f"a net of {net['classes']:,} classes and another number of names"
    is_python = is_target(net.get("target")) and are_plain_arguments(net.get("args"))
    return "" if is_python else "a net of Python without a name to type"


def is_target(name: Any) -> bool:
    """Whether this is a name as model.target has it: <module>:<class or function>, with a dot in place of the colon."""
    form = r"\w+(\.\w+)*[:.]\w+(\.\w+)*"
    return isinstance(name, str) and len(name) <= LONGEST_NAME and re.fullmatch(form, name) is not None


def are_plain_arguments(args: Any) -> bool:
    """Whether these are plain values by name, as model.args has them."""
    if not isinstance(args, Mapping) or not all(isinstance(key, str) and key.isidentifier() for key in args):
        return False
    try:
        return len(repr(args)) <= LONGEST_ARGUMENTS and all(map(_is_plain, args.values()))
    except RecursionError:
        return False


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    return value is None or type(value) in (bool, int, float) or (isinstance(value, str) and _is_text(value))


def _check_weight_count(net: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> None:
    """Compares the rows with the tensors, so that a wrong size of a row ends in a message and not in a huge net."""
    rows = read_rows(net["layers"], net["classes"])
    described = sum(weight_counts(rows, net["image_size"]).values()) + sum(statistic_counts(rows).values())
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


def class_names_problem(names: Any, folders: Any) -> str:
    """What is wrong with the names of classes and of their folders, of which there may be none; "" where nothing is."""
    if not names or not are_class_names(names) or not are_class_names(folders):
        return "names of classes that are no names"
    return f"{len(folders)} folders of {len(names)} classes" if folders and len(folders) != len(names) else ""


def are_class_names(names: Any) -> bool:
    """Whether this is a list of texts that can be written to files and are not too long to be shown."""
    return isinstance(names, list) and all(isinstance(name, str) and _is_text(name) for name in names)


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
