"""A net's description and weights, in and out of checkpoints that hold only tensors and plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, build
from convscope.models.untrusted import check_checkpoint

PREFIX = "net."  # of the net's weights within the LightningModule's
SHOWN = 8  # differing weights in a message


def describe(net: ConvNet) -> dict[str, Any]:
    """Plain values from which `rebuild` makes the same net, without its weights."""
    return {"layers": net.layers, "image_size": net.image_size, "classes": net.classes}


def rebuild(description: Mapping[str, Any]) -> ConvNet:
    """The net that `describe` described, with fresh weights."""
    return build(description["layers"], description["image_size"], description["classes"])


def read_checkpoint(path: str | Path, key: str = "ckpt") -> dict[str, Any]:
    """A checkpoint of convscope on the CPU: "state_dict" and "convscope" with what describes net and data.

    key: the setting that named the file. Raises UserError, naming both, when it is missing, unreadable or another
    program's.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f"no checkpoint {path}; a training run leaves checkpoints/last.ckpt in its folder: {key}=<that path>"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file made to harm may raise anything; code in it is refused, not run
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint ({reason}); train again or take another") from error
    if not isinstance(checkpoint, dict) or not {"convscope", "state_dict"} <= checkpoint.keys():
        raise UserError(f"{path} is no checkpoint of convscope; {key}= takes last.ckpt or best.ckpt of a training run")
    check_checkpoint(checkpoint, str(path))
    return checkpoint


def net_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The net's own weights of a checkpoint, by the net's names; float32 of a net that was trained in 16 bits."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(PREFIX): _wide(value) for name, value in state.items() if name.startswith(PREFIX)}


def _wide(value: Tensor) -> Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def load_weights_(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fills the net with `state`, named as net.state_dict().

    Raises UserError, which lists the weights that differ, before anything is loaded.
    """
    own = net.state_dict()
    found = {name: _difference(own.get(name), state.get(name)) for name in sorted(own.keys() | state.keys())}
    differing = [f"{name} {difference}" for name, difference in found.items() if difference]
    if differing:
        shown = differing[:SHOWN] + [f"and {len(differing) - SHOWN} more"] * (len(differing) > SHOWN)
        raise UserError(
            f"the weights are another net's: {'; '.join(shown)}; choose model= as in the run that saved them"
        )
    net.load_state_dict(state)


def _difference(own: Tensor | None, given: Tensor | None) -> str:
    if own is None:
        return "is not in this net"
    if given is None:
        return "is missing"
    return "" if own.shape == given.shape else f"is {shape_in_words(given)} and here {shape_in_words(own)}"


def shape_in_words(value: Tensor) -> str:
    """96 x 3 x 7 x 7."""
    return " x ".join(map(str, value.shape)) or "one number"
