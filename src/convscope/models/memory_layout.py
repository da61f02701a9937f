"""The layout of images and weights in memory: channels last, the fastest for convolutions, where a net takes it."""

from typing import Any

import torch
from torch import Tensor, nn

_VIEW_REFUSED = "view size is not compatible"  # torch's words where maps are not in the layout that a view needs
CONVOLUTIONS = nn.Conv2d, nn.ConvTranspose2d


def channels_last_(net: nn.Module, image_size: int) -> nn.Module:
    """Gives the convolutions of a net of others weights channels last, and returns it.

    A net whose forward asks for torch's own layout, by `view` of its maps, keeps it and gets its images in it.
    """
    if isinstance(net, torch.jit.ScriptModule):
        return net
    if _refuses_channels_last(net, image_size):
        net.register_forward_pre_hook(_in_own_layout)
        return net
    for module in net.modules():
        weight = module._parameters.get("weight") if isinstance(module, CONVOLUTIONS) else None
        if weight is not None and weight.dim() == 4:  # of a lazy layer there is none yet
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return net


def align_state_(optimizer: torch.optim.Optimizer) -> None:
    """Puts the loaded state of an optimizer into the layout of its weights; a fused step would mix up their values."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _refuses_channels_last(net: nn.Module, image_size: int) -> bool:
    weight = next((value for value in net.parameters() if value.is_floating_point()), torch.empty(0))
    image = torch.zeros(1, 3, image_size, image_size, dtype=weight.dtype, device=weight.device)
    training = [module for module in net.modules() if module.training]
    try:
        with torch.no_grad():
            net.eval()(image.contiguous(memory_format=torch.channels_last))
    except RuntimeError as error:
        return _VIEW_REFUSED in str(error)
    except Exception:  # a net that cannot take the image at all is refused elsewhere, in words
        return False
    finally:
        for module in training:
            module.training = True
    return False


def _in_own_layout(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A forward hook that copies images into torch's own layout where they are in another."""
    if args and isinstance(args[0], Tensor) and args[0].dim() == 4 and not args[0].is_contiguous():
        return args[0].contiguous(), *args[1:]
    return None
