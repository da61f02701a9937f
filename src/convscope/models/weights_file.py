"""Weights files of any origin, .safetensors or as torch.save writes them, brought to the names that a net has.

`untrusted` reads the file and checks it.
"""

import os
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, build
from convscope.models.checkpoints import checkpoint_file, last_row, shape_in_words
from convscope.models.untrusted import check_finite, is_plain_tensor, listed, load_safetensors, load_tensors
from convscope.models.wrappers import COMPILED, SPREAD

ENDINGS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
ENTRIES = ("state_dict", "model_state_dict", "model")  # keys under which training programs save the weights
WRAPPERS = {SPREAD, COMPILED}  # parts that DataParallel and torch.compile add to names
# The settings that training programs save beside the weights: plain values in a Namespace, and paths.
SETTINGS = (
    Namespace,
    *((PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
    *((PureWindowsPath, f"{module}.WindowsPath") for module in ("pathlib", "pathlib._local")),
)
NAME_REMEDY = "set model.name to the net"
SAVE = "save the weights alone, torch.save(net.state_dict(), 'weights.pth'), and name that file"


def is_file_name(weights: str) -> bool:
    """Whether model.weights is a file name, and not the name of weights that a library downloads."""
    return weights.lower().endswith(ENDINGS) or "/" in weights or os.sep in weights


def read_weights(file: str) -> dict[str, Tensor]:
    """Weights of a file, on the CPU, by their names in the file.

    Raises UserError for a file that is missing, cannot be read, holds more than weights, or is a checkpoint of
    convscope.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        if path.is_dir() and checkpoint_file(path).is_file():
            raise UserError(f"model.weights={file} is a run of convscope; type ckpt={file} to look at its net")
        what = "this is a folder; name a file in it," if path.is_dir() else "there is no such file; it is"
        raise UserError(f"model.weights={file}: {what} a state_dict, {' '.join(ENDINGS)}")
    safe = path.suffix.lower() == ".safetensors"
    content = load_safetensors(path) if safe else load_tensors(path, "weights", SAVE, SETTINGS)
    if isinstance(content, Mapping) and "convscope" in content:
        raise UserError(
            f"{path} is a checkpoint of convscope; type ckpt={file} to look at its net, or model.init={file}"
        )
    state = _entry(content)
    if not isinstance(state, Mapping) or not state or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path} holds no weights by name; {SAVE}")
    if nets := [name for name, value in state.items() if isinstance(value, Mapping) and _are_tensors(value)]:
        raise UserError(f"{path} holds the weights of several nets ({listed(nets)}); {SAVE}")
    if strange := [name for name, value in state.items() if not is_plain_tensor(value)]:
        raise UserError(f"{path} holds {listed(strange)}, which are no tensors, or larger than the file; {SAVE}")
    return dict(state)


class LastLayers(NamedTuple):
    """The layers of a net that put out its classes. paths: their names.

    exchange: gives a net another number of classes, with fresh weights in these layers alone.
    """

    paths: Sequence[str]
    exchange: Callable[[nn.Module, int], nn.Module]


def fill(
    net: nn.Module,
    state: Mapping[str, Tensor],
    last: LastLayers,
    classes: int | None,
    where: str,
    remedy: str = NAME_REMEDY,
) -> nn.Module:
    """The net with the weights of `state`, which have the names of the net.

    classes: None for as many as the state has; another number gives fresh last layers, which the state then need not
    have. Raises UserError as `fitting`.
    """
    state, fresh = dict(state), net.state_dict()
    names = [f"{path}.weight" for path in last.paths]
    weight = next((name for name in names if name in state and name in fresh), None)
    if weight and state[weight].dim() > 1 and state[weight].shape[1:] == fresh[weight].shape[1:]:
        net = last.exchange(net, len(state[weight]))
    elif classes is not None:
        prefixes = tuple(f"{path}." for path in last.paths)
        state |= {name: value for name, value in fresh.items() if name.startswith(prefixes)}
    net.load_state_dict(fitting(net.state_dict(), state, where, remedy), strict=False)
    return net if classes is None else last.exchange(net, classes)


def row_net_of(file: str, net: ConvNet, classes: int | None) -> ConvNet:
    """The net of rows with the weights of a file; classes: see `fill`. Raises UserError for a file that does not fit.

    A fresh last row is N(0, 0.01) with biases of zero, as in every recipe.
    """
    state = renamed(net.state_dict(), read_weights(file))
    remedy = "set model=, model.width and data.image_size to the net"
    last = LastLayers([last_row(net)], _row_net_for)
    filled = fill(net, state, last, classes, f"{file} does not fit this net", remedy)
    check_finite(filled, file)
    assert isinstance(filled, ConvNet)
    return filled


@torch.no_grad()
def _row_net_for(net: nn.Module, classes: int) -> ConvNet:
    """The net of rows for another number of classes, with a fresh last row if it had others."""
    assert isinstance(net, ConvNet)
    if classes == net.classes:
        return net
    last = last_row(net)
    fresh = build({**net.layers, last: {**net.layers[last], "units": classes}}, net.image_size, classes)
    copy_shared_(fresh, net)
    for name, value in fresh.get_submodule(last).named_parameters():
        value.normal_(0, 0.01) if name == "weight" else value.zero_()
    return fresh


def copy_shared_(net: nn.Module, other: nn.Module) -> None:
    """Copies into the net the weights of another one that have the same names and shapes."""
    own, state = net.state_dict(), other.state_dict()
    shared = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    net.load_state_dict(own | shared)


def fitting(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str, remedy: str = NAME_REMEDY
) -> dict[str, Tensor]:
    """The weights of `state` under the names of a net with the state_dict `expected`.

    remedy: what gives the net that the weights are of. Raises UserError, which lists the weights that are missing, that
    the net does not have, and that have another shape.
    """
    weights = {name: _as_counter(expected.get(name), value) for name, value in renamed(expected, state).items()}
    missing = [name for name in expected if name not in weights and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in expected]
    shapes = [f"{name} is {_in_words(weights[name])} and here {_in_words(expected[name])}"
              for name in expected if name in weights and not _same_form(expected[name], weights[name])]  # fmt: skip
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    if wrong := [f"{kind}: {listed(names)}" for kind, names in kinds if names]:
        raise UserError(f"{where}: {'; '.join(wrong)}; {remedy} that the weights are of")
    return weights


def renamed(expected: Iterable[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without the parts that wrappers add to its names, and without the prefix before the net's names.

    expected: the net's names. A prefix is that of a LightningModule's net.conv1.weight, for example; entries without
    it (a loss, a metric) are left out. Where the net itself has such a prefix, the names get it. Where neither leads to
    half of the net's names, they stay. Raises UserError where two prefixes lead to equally many of the net's names.
    """
    names = set(expected)
    plain = _without_wrappers(names, state)
    counts = Counter(prefix for name in plain for prefix in _prefixes(name) if name[len(prefix) :] in names)
    highest = max(counts.values(), default=0)
    if 2 * highest < len(names):
        prefix = _prefix_of_net(names, plain)
        return {f"{prefix}{name}": value for name, value in plain.items()}
    best = [prefix for prefix, count in counts.items() if count == highest]
    if len(best) > 1 and "" not in best:
        raise UserError(f"the file holds several such nets: {listed(best)}; save the weights of one of them alone")
    prefix = "" if "" in best else best[0]
    return {name[len(prefix) :]: value for name, value in plain.items() if name.startswith(prefix)}


def _without_wrappers(names: set[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if any(WRAPPERS & set(name.split(".")) for name in names):
        return dict(state)
    plain = {".".join(part for part in name.split(".") if part not in WRAPPERS): name for name in state}
    return {short: state[name] for short, name in plain.items()} if len(plain) == len(state) else dict(state)


def _prefix_of_net(names: set[str], plain: Mapping[str, Tensor]) -> str:
    """The prefix that brings the names of `plain` to half of the net's names or more; "" where none does."""
    counts = Counter(prefix for name in names for prefix in _prefixes(name) if name[len(prefix) :] in plain)
    prefix, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return prefix if 2 * count >= len(names) else ""


def _prefixes(name: str) -> list[str]:
    """Prefixes of a name: "", "a." and "a.b." of a.b.c."""
    parts = name.split(".")
    return ["".join(f"{part}." for part in parts[:length]) for length in range(len(parts))]


def _entry(content: Any) -> Any:
    """Weights within the content of a file: its state_dict, its model, or its only entry that is all tensors."""
    if not isinstance(content, Mapping):
        return content
    for key in ENTRIES:
        if isinstance(content.get(key), Mapping):
            return _entry(content[key])
    states = [value for value in content.values() if isinstance(value, Mapping) and _are_tensors(value)]
    return states[0] if len(states) == 1 else content


def _are_tensors(state: Mapping[Any, Any]) -> bool:
    return bool(state) and all(isinstance(value, Tensor) for value in state.values())


def _as_counter(expected: Tensor | None, value: Tensor) -> Tensor:
    """The value, as a whole number where the net has one: a count of batches that was saved in half precision."""
    if expected is None or expected.is_floating_point() or expected.is_complex():
        return value
    return value.to(expected.dtype) if value.is_floating_point() and value.numel() == 1 else value


def _same_form(expected: Tensor, value: Tensor) -> bool:
    return expected.shape == value.shape and expected.is_floating_point() == value.is_floating_point()


def _in_words(value: Tensor) -> str:
    kind = "" if value.is_floating_point() else f" of {str(value.dtype).removeprefix('torch.')}"
    return shape_in_words(value) + kind
