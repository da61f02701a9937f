"""Modules of torch.jit.script: no hook can be set on them, and what happens inside is hidden from Python."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

Hook = Callable[[nn.Module, Any, Any], Any]


def is_scripted(module: nn.Module) -> bool:
    """Whether the module, and so all in it, was compiled."""
    return isinstance(module, torch.jit.ScriptModule)


def on_output(module: nn.Module, hook: Hook) -> RemovableHandle:
    """Calls hook(module, args, output) after each run of the module, compiled or not, until the handle is removed."""
    if not is_scripted(module):
        return module.register_forward_hook(hook)
    return register_module_forward_hook(lambda any_, args, output: hook(any_, args, output) if any_ is module else None)


def outermost(net: nn.Module) -> dict[str, nn.Module]:
    """Path -> compiled module, those inside another one left out."""
    compiled = [path for path, module in net.named_modules() if is_scripted(module)]
    inside = {path for path in compiled for other in compiled if path != other and f"{path}.".startswith(f"{other}.")}
    return {path: net.get_submodule(path) for path in compiled if path not in inside}


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """The net in eval mode, afterwards every module as it was."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
