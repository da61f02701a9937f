"""The net within wrappers that compile it or spread it over devices, as torch.compile and Fabric do."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from convscope.errors import UserError, reason_of

COMPILED, SPREAD = "_orig_mod", "module"  # where torch.compile and torch.nn.parallel have the net
PARTS = COMPILED, "_original_module", SPREAD  # the second is Fabric's


def unwrapped(module: nn.Module) -> nn.Module:
    """The module within the wrappers of torch.compile, Fabric, DataParallel and DistributedDataParallel."""
    if isinstance(module, torch.jit.ScriptModule):
        return module
    inner = next((module._modules[name] for name in PARTS if _wraps(module, name)), None)
    return module if inner is None else unwrapped(inner)


def _wraps(module: nn.Module, name: str) -> bool:
    """Whether all of the module's parameters are in this child; Fabric's module has the original twice."""
    if not isinstance(module._modules.get(name), nn.Module):
        return False
    return name != SPREAD or isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)


def is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile has wrapped the module or a module in it, or has replaced its forward."""
    if getattr(module, "_compiler_ctx", None) is not None:  # a LightningModule
        return True
    return any(COMPILED in part._modules or part._compiled_call_impl is not None for part in module.modules())


def eagerly(module: nn.Module) -> AbstractContextManager[Any]:
    """Runs the module's own Python in the block, whatever torch.compile has made of it."""
    return torch.compiler.set_stance("force_eager") if is_compiled(module) else nullcontext()


@contextmanager
def explained_compiling() -> Iterator[None]:
    """Raises UserError with the reason where torch.compile fails in the block."""
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds to import

        if not isinstance(error, TorchDynamoException):
            raise
        raise UserError(
            f"optim.compile=true: torch.compile cannot compile this net here ({type(error).__name__}: "
            f"{reason_of(error, 200)}); type optim.compile=false"
        ) from error
