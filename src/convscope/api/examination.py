"""A net while an analysis looks at it: in eval mode, with logits as its output, and left as it was."""

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convscope.data.loader_order import undisturbed_random
from convscope.engine.hooks import evaluating
from convscope.errors import UserError
from convscope.models.wrappers import eagerly, unwrapped


def plain_net(net: nn.Module) -> nn.Module:
    """The net without wrappers; a float32 copy of one of another precision, in which the analyses compute.

    Raises UserError for what is no net, a net without weights, and one of torch.jit.
    """
    if not isinstance(net, nn.Module):
        raise UserError(f"net is a {type(net).__name__}; pass an nn.Module, or a Subject as load and subject give it")
    net = unwrapped(net)
    if isinstance(net, torch.jit.ScriptModule):
        raise UserError("a net of torch.jit shows nothing of its inside; pass the module that it was made of")
    weights = [weight for weight in net.parameters() if weight.is_floating_point()]
    if not weights:
        raise UserError(f"this net, {type(net).__name__}, has no weights to look at")
    return net if all(weight.dtype == torch.float32 for weight in weights) else copy.deepcopy(net).float()


@contextmanager
def examining(net: nn.Module, seed: int | None = None) -> Iterator[None]:
    """Sets the net to eval mode and its output to logits alone, and runs its own Python where torch.compile has
    compiled it; afterwards the net is as it was.

    seed: sets the global random numbers as a job does; those of the user are back afterwards.
    """
    device = next(net.parameters()).device
    hook = net.register_forward_hook(_logits_alone)
    eager, quiet = eagerly(net), random_numbers(device, seed)
    try:
        with eager, quiet, evaluating(net), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        hook.remove()


def logits_of(output: Any) -> Tensor | None:
    """The logits in what a net returns: a tensor, `.logits` as of transformers, or the first [N, K] in it; else None.

    A tensor that is no [N, K], such as maps, stays as it is.
    """
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    values = list(output.values()) if isinstance(output, Mapping) else output
    tensors = [value for value in values if isinstance(value, Tensor)] if isinstance(values, tuple | list) else []
    return next((tensor for tensor in tensors if tensor.dim() == 2), tensors[0] if tensors else None)


def _logits_alone(module: nn.Module, arguments: Any, output: Any) -> Tensor:
    logits = logits_of(output)
    if logits is None:
        raise UserError(
            f"{type(module).__name__} returns a {type(output).__name__} without logits; pass a net that returns logits "
            "[N, K], alone, as .logits, or first in a tuple or dict"
        )
    return logits


@contextmanager
def random_numbers(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Seeds the shared generators where there is a seed, and gives them their state back at the end.

    device: whose generator is meant, beside the CPU's.
    """
    with undisturbed_random([device] if device.type == "cuda" else []):
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.random.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
        yield
