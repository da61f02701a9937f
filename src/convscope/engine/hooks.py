"""Hooks on the outputs of a net's modules, compiled modules of torch.jit included, and eval mode for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

Hook = Callable[[nn.Module, Any, Any], Any]


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Sets the net to eval mode; afterwards every module has its mode again."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def is_scripted(module: nn.Module) -> bool:
    """Whether the module, and so every module in it, was compiled by torch.jit.

    Compiled modules take no hooks of their own, and Python does not see the calls in them.
    """
    return isinstance(module, torch.jit.ScriptModule)


def on_output(module: nn.Module, hook: Hook) -> RemovableHandle:
    """Calls hook(module, args, output) after each run of the module, compiled or not, until the handle is removed."""
    if not is_scripted(module):
        return module.register_forward_hook(hook)
    return register_module_forward_hook(lambda ran, args, output: hook(ran, args, output) if ran is module else None)


def outermost_scripted(net: nn.Module) -> dict[str, nn.Module]:
    """Compiled modules by path, without those inside another compiled module."""
    compiled = [path for path, module in net.named_modules() if is_scripted(module)]
    inner = {path for path in compiled for outer in compiled if path != outer and f"{path}.".startswith(f"{outer}.")}
    return {path: net.get_submodule(path) for path in compiled if path not in inner}
