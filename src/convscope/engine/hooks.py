"""Hooks on the outputs of a net's modules, those of torch.jit included; eval mode and float32 for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
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


@contextmanager
def in_float32(net: nn.Module) -> Iterator[None]:
    """Gives the net float32 copies of its weights and statistics of other floating types; restores these at the end.

    The restored tensors are the same objects, because an optimizer and DistributedDataParallel refer to them.
    """
    tables: list[dict[str, Any]] = [
        table for module in net.modules() for table in (module._parameters, module._buffers)
    ]
    originals = [(table, name, value) for table in tables for name, value in table.items() if _needs_copy(value)]
    copies: dict[Tensor, Tensor] = {}  # a weight that two modules share is copied once
    with torch.inference_mode(False), torch.no_grad():
        for table, name, value in originals:
            table[name] = copies[value] if value in copies else copies.setdefault(value, _copy(value))
    try:
        yield
    finally:
        for table, name, value in originals:
            table[name] = value


def _needs_copy(value: Tensor | None) -> bool:
    return value is not None and value.is_floating_point() and value.dtype != torch.float32


def _copy(value: Tensor) -> Tensor:
    copy = value.detach().float()
    return nn.Parameter(copy, value.requires_grad) if isinstance(value, nn.Parameter) else copy
