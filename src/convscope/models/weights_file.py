"""Learned weights out of anybody's file, .safetensors or what torch.save wrote, under a net's own names.

The file may come from anywhere: only tensors are read, nothing in it runs.
"""

import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.checkpoints import shape_in_words
from convscope.models.untrusted import is_plain_tensor

ENDINGS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
ENTRIES = ("state_dict", "model_state_dict", "model")  # where training programs put the weights within their file
WRAPPERS = {"module", "_orig_mod"}  # what DataParallel and torch.compile put into names
MOST_NAMES = 4  # of a kind in a message
SAVE = "save the weights alone, torch.save(net.state_dict(), 'weights.pth'), and name that file"


def is_file_name(weights: str) -> bool:
    """Whether model.weights names a file, not weights that a library downloads."""
    return weights.lower().endswith(ENDINGS) or "/" in weights or os.sep in weights


def read_weights(file: str) -> dict[str, Tensor]:
    """The weights of a file by the names they have there, on the CPU.

    Raises UserError for a file that is not there, cannot be read, holds more than weights, or is convscope's
    checkpoint.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        what = "this is a folder; name a file in it," if path.is_dir() else "there is no such file; it is"
        raise UserError(f"model.weights={file}: {what} a state_dict, {' '.join(ENDINGS)}")
    content = _safetensors(path) if path.suffix.lower() == ".safetensors" else _pickled(path)
    if isinstance(content, Mapping) and "convscope" in content:
        raise UserError(
            f"{path} is a checkpoint of convscope; type ckpt={file} to look at its net, or model.init={file}"
        )
    state = _entry(content)
    if not isinstance(state, Mapping) or not state or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path} holds no weights by name; {SAVE}")
    if strange := [name for name, value in state.items() if not is_plain_tensor(value)]:
        raise UserError(f"{path} holds {_listed(strange)}, which are no tensors, or larger than the file; {SAVE}")
    return dict(state)


def fitting(own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The weights of `state` that a net whose state_dict is `own` takes, all of them under its own names.

    Raises UserError, which lists what is missing, what the net does not have, and what has another shape.
    """
    chosen = {name: _as_counter(own.get(name), value) for name, value in renamed(own, state).items()}
    missing = [name for name in own if name not in chosen and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in chosen if name not in own]
    shapes = [f"{name} is {_in_words(chosen[name])} and here {_in_words(own[name])}"
              for name in own if name in chosen and not _alike(own[name], chosen[name])]  # fmt: skip
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    if wrong := [f"{kind}: {_listed(names)}" for kind, names in kinds if names]:
        raise UserError(f"{where}: {'; '.join(wrong)}; set model.name to the net that the weights are of")
    return chosen


def renamed(own: Iterable[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without what wrappers have put into its names, and without the prefix behind which the net's names are.

    Where there is such a prefix, as in a LightningModule's net.conv1.weight, what does not begin with it (a loss, a
    metric) is left out. Names of which less than half of the net's are behind any prefix are another net's, and stay as
    they are. Raises UserError where behind two prefixes there are as many of the net's names.
    """
    names = set(own)
    plain = _without_wrappers(names, state)
    counts = Counter(prefix for name in plain for prefix in _prefixes(name) if name[len(prefix) :] in names)
    most = max(counts.values(), default=0)
    if 2 * most < len(names):
        return plain
    best = [prefix for prefix, count in counts.items() if count == most]
    if len(best) > 1 and "" not in best:
        raise UserError(f"the file holds several such nets: {_listed(best)}; save the weights of one of them alone")
    prefix = "" if "" in best else best[0]
    return {name[len(prefix) :]: value for name, value in plain.items() if name.startswith(prefix)}


def _without_wrappers(names: set[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if any(WRAPPERS & set(name.split(".")) for name in names):
        return dict(state)
    plain = {".".join(part for part in name.split(".") if part not in WRAPPERS): name for name in state}
    return {short: state[name] for short, name in plain.items()} if len(plain) == len(state) else dict(state)


def _prefixes(name: str) -> list[str]:
    """a.b.c -> "", "a.", "a.b."."""
    parts = name.split(".")
    return ["".join(f"{part}." for part in parts[:length]) for length in range(len(parts))]


def _entry(content: Any) -> Any:
    """The weights within what a training program saved: its state_dict, its model, or the only entry of tensors."""
    if not isinstance(content, Mapping):
        return content
    for key in ENTRIES:
        if isinstance(content.get(key), Mapping):
            return _entry(content[key])
    states = [value for value in content.values() if isinstance(value, Mapping) and _are_tensors(value)]
    return states[0] if len(states) == 1 else content


def _are_tensors(state: Mapping[Any, Any]) -> bool:
    return bool(state) and all(isinstance(value, Tensor) for value in state.values())


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # a damaged or foreign file may raise anything
        raise UserError(f"{path} cannot be read as safetensors ({_reason(error)}); take another file") from error


def _pickled(path: Path) -> Any:
    """What torch.save wrote, tensors and plain values alone."""
    if zipfile.is_zipfile(path):
        _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file made to harm may raise anything; code in it is refused, not run
        why = f"cannot be read as weights ({_reason(error)})"
        if pickled := re.search(r"GLOBAL (\S+)", str(error)):
            why = f"holds pickled Python objects ({pickled[1][:80]}), which could run code, and is not opened"
        raise UserError(f"{path} {why}; {SAVE}") from error


def _check_archive(path: Path) -> None:
    """Raises UserError for a scripted net, and for what grows when unpacked: torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read as weights ({_reason(error)}); {SAVE}") from error
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise UserError(f"{path} holds a whole scripted net, not weights; {SAVE}")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(f"{path} is compressed, as torch.save writes no file; {SAVE}")


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120] or type(error).__name__


def check_finite(net: nn.Module, where: str) -> None:
    """Raises UserError, which lists the weights of the net that are nan or infinite."""
    values = net.state_dict().items()
    if broken := [name for name, value in values if value.is_floating_point() and not value.isfinite().all()]:
        raise UserError(f"{where} holds weights that are nan or infinite: {_listed(broken)}; take another file")


def _as_counter(own: Tensor | None, value: Tensor) -> Tensor:
    """A count of batches that was saved in half precision with the rest, as the whole number that the net has."""
    whole = own is not None and not own.is_floating_point() and not own.is_complex() and value.is_floating_point()
    return value.to(own.dtype) if own is not None and whole and value.numel() == 1 else value


def _alike(own: Tensor, other: Tensor) -> bool:
    return own.shape == other.shape and own.is_floating_point() == other.is_floating_point()


def _in_words(value: Tensor) -> str:
    kind = "" if value.is_floating_point() else f" of {str(value.dtype).removeprefix('torch.')}"
    return shape_in_words(value) + kind


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(name[:80] for name in names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
