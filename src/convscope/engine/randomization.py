"""Random weights for a while: what a net shows that has the architecture alone (Adebayo et al. 2018).

Filters are drawn anew from a normal distribution with mean 0 and their own root mean square, as at initialization;
biases and scales are shuffled among their channels. So signals keep their size, whatever a net was initialized with.
Batch norms measure their statistics anew on the images: those of the learned weights below would switch channels off or
let one drown the others. The paper reinitializes, which is defined for nets that it knows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor, nn

from convscope.engine.hooks import evaluating, is_scripted
from convscope.engine.trace import Trace


class WeightedLayer(NamedTuple):
    """A module with filters, and the vectors (of batch norms, say) between its output and the next filters."""

    name: str
    modules: tuple[tuple[str, nn.Module], ...]


def weighted_layers(net: nn.Module, net_trace: Trace, layer: str) -> list[WeightedLayer]:
    """The layers with weights on which `layer` depends, itself first, the one at the pixels last.

    Raises UserError for an unknown layer.
    """
    needed, paths = {net_trace.layer(layer).output}, list[str]()
    for call, owner in zip(reversed(net_trace.calls), reversed(net_trace.owners), strict=True):
        if not needed.isdisjoint(call.outputs):
            needed.update(call.inputs)
            paths += [*_compiled_paths(net, call.func), owner]
    modules = dict(net.named_modules())
    layers, vectors = list[WeightedLayer](), list[tuple[str, nn.Module]]()
    for path in dict.fromkeys(paths):
        weights = list(_weights(modules[path]))
        if any(weight.dim() > 1 for _, _, weight in weights):
            layers.append(WeightedLayer(path, ((path, modules[path]), *vectors)))
            vectors = []
        elif weights:
            vectors.append((path, modules[path]))
    return layers


def _compiled_paths(net: nn.Module, function: Any) -> list[str]:
    """The path of a module that is a call of the trace as a whole."""
    compiled = getattr(function, "module", None)
    return [path for path, module in net.named_modules() if module is compiled] if compiled is not None else []


def _weights(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """The weights of a module and the modules that hold them; of a compiled or parametrized one those within."""
    parts = list(module.modules()) if is_scripted(module) else [module]
    if hasattr(module, "parametrizations"):
        parts += module.parametrizations.modules()
    for part in parts:
        for name, weight in part.named_parameters(recurse=False):
            if weight.is_floating_point():
                yield part, name, weight


@contextmanager
def randomized(net: nn.Module, layers: Sequence[WeightedLayer], images: Tensor, seed: int = 0) -> Iterator[None]:
    """Gives these layers random weights, the same for a layer whatever the others are; restores the net at the end.

    images [N, 3, H, W]: on which the batch norms measure. The restored tensors are the same objects.
    """
    modules = {path: module for layer in layers for path, module in layer.modules}
    tables: list[tuple[dict[str, Any], str, Any]] = []
    try:
        with torch.inference_mode(False), torch.no_grad():
            for path, module in modules.items():
                draw = torch.Generator().manual_seed(crc32(f"{seed} {path}".encode()))
                for owner, name, weight in list(_weights(module)):
                    tables.append((owner._parameters, name, weight))
                    owner._parameters[name] = nn.Parameter(_drawn(weight, draw), weight.requires_grad)
            _measure_norms(net, tables, images)
        yield
    finally:
        for table, name, value in reversed(tables):
            table[name] = value


def _drawn(weight: Tensor, draw: torch.Generator) -> Tensor:
    learned = weight.detach()
    if learned.dim() < 2:
        return (
            learned[torch.randperm(learned.numel(), generator=draw).to(learned.device)]
            if learned.dim()
            else learned.clone()
        )
    size = learned.float().square().mean().sqrt().to(learned.dtype)
    return torch.randn(learned.shape, generator=draw).to(learned) * size


def _measure_norms(net: nn.Module, tables: list[tuple[dict[str, Any], str, Any]], images: Tensor) -> None:
    """Measures the statistics of all batch norms in one pass, each on what comes to it; without train mode, in which
    norms of several processes would wait for one another."""
    norms = [
        module
        for module in net.modules()
        if not is_scripted(module)
        and getattr(module, "running_mean", None) is not None
        and getattr(module, "running_var", None) is not None
    ]
    if not norms:
        return
    for norm in norms:
        for name in ("running_mean", "running_var"):
            tables.append((norm._buffers, name, norm._buffers[name]))
            norm._buffers[name] = norm._buffers[name].clone()
    hooks = [norm.register_forward_pre_hook(_measure) for norm in norms]
    try:
        with evaluating(net):
            net(images)
    finally:
        for hook in hooks:
            hook.remove()


def _measure(norm: nn.Module, args: tuple[Any, ...]) -> None:
    x = args[0]
    axes = [axis for axis in range(x.dim()) if axis != 1]
    norm._buffers["running_mean"].copy_(x.mean(axes))
    norm._buffers["running_var"].copy_(x.var(axes, unbiased=False))
