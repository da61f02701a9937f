"""A net's description and weights, in and out of checkpoints that hold only tensors and plain values.

Rows can be inherited from another net's checkpoint.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, build
from convscope.models.rows import plain_rows, read_rows
from convscope.models.untrusted import check_checkpoint, load_tensors

PREFIX = "net."  # of the net's weights within the LightningModule's
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of a batch norm in a state_dict
MESSAGE_DIFFERENCES = 8  # differing weights in a message


def describe(net: ConvNet) -> dict[str, Any]:
    """Plain values from which `rebuild` makes the same net, without its weights."""
    return {"layers": net.layers, "image_size": net.image_size, "classes": net.classes}


def rebuild(description: Mapping[str, Any]) -> ConvNet:
    """The net that `describe` described, with fresh weights."""
    return build(description["layers"], description["image_size"], description["classes"])


def checkpoint_file(path: str | Path) -> Path:
    """The file of a checkpoint: the path itself, or best.ckpt, else last.ckpt, of a run folder or its checkpoints/."""
    path = Path(path).expanduser()
    files = [folder / name for folder in (path / "checkpoints", path) for name in ("best.ckpt", "last.ckpt")]
    return next((file for file in files if file.is_file()), path) if path.is_dir() else path


def read_checkpoint(path: str | Path, key: str = "ckpt") -> dict[str, Any]:
    """A checkpoint of convscope on the CPU: "state_dict", and "convscope" with the description of net and data.

    key: the config key that named the file. Raises UserError, with path and key, where the file is missing or
    unreadable, where another program wrote it, and where its description does not fit its weights.
    """
    path = checkpoint_file(path)
    if path.is_dir():
        raise UserError(f"{path} holds no checkpoints/best.ckpt or last.ckpt; type {key}=outputs/train/<run>")
    if not path.is_file():
        raise UserError(
            f"no checkpoint {path}; a training run leaves checkpoints/last.ckpt in its folder: {key}=<that path>"
        )
    checkpoint = load_tensors(path, "a checkpoint", "train again or take another")
    if not isinstance(checkpoint, dict) or not {"convscope", "state_dict"} <= checkpoint.keys():
        raise UserError(
            f"{path} is no checkpoint of convscope; {key}= takes last.ckpt or best.ckpt of a training run; "
            f"for weights of another program type the net (model=...) and model.weights={path}"
        )
    check_checkpoint(checkpoint, str(path))
    return checkpoint


def check_words(settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Raises UserError for words of the command line that contradict the checkpoint settings["ckpt"].

    about: its description: the net, and the size and the scale of its images, are as it says. Words that say the same
    pass. Those of a net of Python are checked by `targets.check_target`.
    """
    ckpt, net = f"ckpt={settings['ckpt']}", about["net"]
    typed = {word.lstrip("+~").partition("=")[0]: word.removeprefix("++") for word in settings.get("words", ())}
    keys_of_net = re.compile(r"model($|\.(source|name|width|layers|weights|target|args)\b)")
    of_net = {key: word for key, word in typed.items() if keys_of_net.match(key)}
    if net.get("source") == "python" and settings["model"].get("weights"):
        word = f"model.weights={settings['model']['weights']}"
        raise UserError(f"{ckpt} has weights, and so has {word}; leave one of them out")
    if of_net and net.get("source") != "python" and not _is_same_net(settings["model"], net, of_net):
        words = " ".join(of_net.values())
        raise UserError(
            f"{ckpt} holds {net.get('name', 'a net of rows')}, and {words} is another net; leave out {words}"
        )
    scale = about["pixel_scale"]
    for key, value in (
        ("data.image_size", net["image_size"]),
        ("data.pixel_scale", scale),
        ("optim.loss", about.get("loss")),
    ):
        group, _, name = key.partition(".")
        if key in typed and value is not None and settings[group].get(name) not in (value, None):
            raise UserError(f"{typed[key]} contradicts {ckpt}, whose net has {key}={value}; leave out {typed[key]}")


def _is_same_net(model: Mapping[str, Any], net: Mapping[str, Any], typed: Collection[str]) -> bool:
    """Whether conf/model is the net that a checkpoint describes. typed: the keys of conf/model in the words."""
    if "layers" not in net:
        names = [(of.get("source"), of.get("name")) for of in (model, net)]
        return "layers" not in model and names[0] == names[1] and not model.get("weights")
    if "layers" not in model or model.get("weights"):
        return False
    if set(typed) == {"model"} and net.get("name"):  # the narrow zfnet is a zfnet
        return bool(model.get("name") == net["name"])
    return plain_rows(read_rows(model["layers"], net["classes"], model.get("width", 1.0))) == net["layers"]


def net_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of a checkpoint's net, named as net.state_dict(); weights of 16 bits come back as float32."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(PREFIX): _widened(value) for name, value in state.items() if name.startswith(PREFIX)}


def load_weights_(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fills the net with `state`, named as net.state_dict().

    Raises UserError, which lists the weights that differ, before anything is loaded.
    """
    expected = net.state_dict()
    names = sorted(expected.keys() | state.keys())
    differences = {name: _difference(expected.get(name), state.get(name)) for name in names}
    lines = [f"{name} {difference}" for name, difference in differences.items() if difference]
    if lines:
        more = [f"and {len(lines) - MESSAGE_DIFFERENCES} more"] * (len(lines) > MESSAGE_DIFFERENCES)
        raise UserError(
            f"the weights are another net's: {'; '.join(lines[:MESSAGE_DIFFERENCES] + more)}; "
            "choose model= as in the run that saved them"
        )
    net.load_state_dict(state)


def shape_in_words(value: Tensor) -> str:
    """The shape of a tensor for a message: "96 x 3 x 7 x 7", or "one number"."""
    return " x ".join(map(str, value.shape)) or "one number"


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def _difference(expected: Tensor | None, value: Tensor | None) -> str:
    if expected is None:
        return "is not in this net"
    if value is None:
        return "is missing"
    same = expected.shape == value.shape
    return "" if same else f"is {shape_in_words(value)} and here {shape_in_words(expected)}"


ABSENT = "not in the checkpoint"


class Inherited(NamedTuple):
    """Which rows got the weights of a checkpoint.

    why: for every row with weights, in the net's order, the reason why its weights are new; "" where they are the
    checkpoint's. unused: rows of the checkpoint that the net does not have. In a net without rows, module paths.
    """

    why: dict[str, str]
    unused: list[str]

    @property
    def taken(self) -> list[str]:
        """Rows with the checkpoint's weights."""
        return [row for row, reason in self.why.items() if not reason]

    @property
    def new(self) -> dict[str, str]:
        """Rows with new weights, and why."""
        return {row: reason for row, reason in self.why.items() if reason}

    def words(self, file: str) -> str:
        """One line: "took conv1 ... fc7 from <file>; fc8 is new: 20 classes, the checkpoint has 10"."""
        parts = [f"took {shortened(self.taken, self.why)} from {file}"]
        for reason in dict.fromkeys(self.new.values()):
            rows = [row for row, why in self.why.items() if why == reason]
            parts.append(f"{shortened(rows, self.why)} {'is' if len(rows) == 1 else 'are'} new: {reason}")
        parts += [f"not used: {shortened(self.unused, self.unused)}"] if self.unused else []
        return "; ".join(parts)


def inherit_(net: nn.Module, state: Mapping[str, Tensor], refused: Mapping[str, str]) -> Inherited:
    """Copies into the net the rows that it shares with `state`, a state_dict; the others stay bit for bit.

    refused: rows that keep their new weights, with the reason. Raises UserError where no row can be copied.
    """
    net_rows, saved_rows = rows_of(net, net.state_dict()), rows_of(net, state)
    why = {row: refused.get(row) or _shape_difference(new, saved_rows.get(row)) for row, new in net_rows.items()}
    inherited = Inherited(why, [row for row in saved_rows if row not in net_rows])
    if not inherited.taken:
        first = "; ".join(f"{row}: {reason}" for row, reason in list(why.items())[:3])
        raise UserError(
            f"no row of this net has its like in the checkpoint of model.init ({first}{'; ...' * (len(why) > 3)}); "
            "set model= and model.width as in the run that saved it, or model.init=null"
        )
    shared = {row: saved_rows[row] for row in inherited.taken}
    net.load_state_dict({key: value for row in shared.values() for key, value in row.items()}, strict=False)
    return inherited


def shortened(rows: Collection[str], among: Iterable[str]) -> str:
    """Names of rows for a message; three or more rows in succession become "first ... last". among: all rows."""
    runs = [list(run) for inside, run in groupby(among, lambda row: row in rows) if inside]
    return ", ".join(f"{run[0]} ... {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def rows_of(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The entries of a state_dict by their row: {"conv1": {"conv1.weight": ..., "conv1.norm.bias": ...}}.

    In a net without rows by the path of their module.
    """
    rows: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        row = key.partition(".")[0] if isinstance(net, ConvNet) else key.rpartition(".")[0]
        rows.setdefault(row, {})[key] = value
    return rows


def last_row(net: nn.Module) -> str:
    """Path of the layer that gives the classes: the last linear layer, or the last convolution as in SqueezeNet."""
    return [path for path, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]


def _shape_difference(new: Mapping[str, Tensor], saved: Mapping[str, Tensor] | None) -> str:
    """Why the saved weights of a row do not fit the row of the net; "" where they do."""
    if saved is None:
        return ABSENT
    if new.keys() != saved.keys():
        return f"it has {_names(new)}, in the checkpoint {_names(saved)}"
    shapes = [
        (shape_in_words(new[key]), shape_in_words(saved[key])) for key in new if new[key].shape != saved[key].shape
    ]
    return f"{shapes[0][0]}, in the checkpoint {shapes[0][1]}" if shapes else ""


def _names(row: Mapping[str, Tensor]) -> str:
    """Names within the row: "weight and norm.weight and norm.bias", without the statistics of a batch norm."""
    start = len(commonprefix(list(row)).rpartition(".")[0]) + 1
    return " and ".join(key[start:] for key in row if key.rpartition(".")[2] not in STATISTICS)
