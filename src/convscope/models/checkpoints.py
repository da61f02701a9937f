"""A net's description and weights, in and out of checkpoints that hold only tensors and plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, build
from convscope.models.untrusted import check_checkpoint, load_tensors

PREFIX = "net."  # of the net's weights within the LightningModule's
MESSAGE_DIFFERENCES = 8  # differing weights in a message


def describe(net: ConvNet) -> dict[str, Any]:
    """Plain values from which `rebuild` makes the same net, without its weights."""
    return {"layers": net.layers, "image_size": net.image_size, "classes": net.classes}


def rebuild(description: Mapping[str, Any]) -> ConvNet:
    """The net that `describe` described, with fresh weights."""
    return build(description["layers"], description["image_size"], description["classes"])


def read_checkpoint(path: str | Path, key: str = "ckpt") -> dict[str, Any]:
    """A checkpoint of convscope on the CPU: "state_dict", and "convscope" with the description of net and data.

    key: the config key that named the file. Raises UserError, with path and key, where the file is missing or
    unreadable, where another program wrote it, and where its description does not fit its weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f"no checkpoint {path}; a training run leaves checkpoints/last.ckpt in its folder: {key}=<that path>"
        )
    checkpoint = load_tensors(path, "a checkpoint", "train again or take another")
    if not isinstance(checkpoint, dict) or not {"convscope", "state_dict"} <= checkpoint.keys():
        raise UserError(f"{path} is no checkpoint of convscope; {key}= takes last.ckpt or best.ckpt of a training run")
    check_checkpoint(checkpoint, str(path))
    return checkpoint


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
