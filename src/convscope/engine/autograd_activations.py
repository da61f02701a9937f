"""Activations that only autograd's graph shows: in compiled modules, and in functions with a custom derivative.

Python sees no calls in them. Nodes of the graph with the name of an activation follow the projection's rule. Others
keep their own derivative, and a warning names them.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.hooks import evaluating, on_output, outermost_scripted
from convscope.engine.operations import CHOICE, CLAMP, operation
from convscope.engine.trace import Layer, Trace

_NAMES = """
    Relu Hardtanh LeakyRelu Elu Selu Celu Gelu Silu Mish Hardswish Softplus PreluKernel Threshold
"""
_NODES = {f"{name}Backward0" for name in _NAMES.split()}
_COMPILED = "DifferentiableGraphBackward"  # node of several calls that torch.jit has fused


class Doubtful(NamedTuple):
    """Names of calls and of autograd's nodes that may be activations, but are not recognized as such."""

    calls: set[str]
    nodes: set[str]


@contextmanager
def apply_rule(unit: Tensor, rule: str, rule_node: str, calls: Mapping[Any, str]) -> Iterator[Doubtful]:
    """Lets the activations in autograd's graph below a unit treat the signal by the rule for a ReLU, inside the block.

    rule_node: name of the nodes that follow the rule by themselves. calls: name of each doubtful call by its node.
    Yields the doubtful calls and nodes below the unit.
    """
    handles, doubtful = [], Doubtful(set(), set())
    for node in _nodes(unit):
        if node.name() in _NODES and rule != "gradient":
            if rule == "guided":
                handles.append(node.register_prehook(_rectify_signals))
            else:
                handles.append(node.register_hook(_replace_by_rectified))
        elif node.name().endswith(_COMPILED) or (_is_custom(node) and node.name() != rule_node):
            doubtful.nodes.add(node.name().rpartition("::")[2])
        elif node in calls:
            doubtful.calls.add(calls[node])
    try:
        yield doubtful
    finally:
        for handle in handles:
            handle.remove()


def is_doubtful(name: str, x: Any, output: Any) -> bool:
    """Whether a call that is not recognized as an activation may be one: it turns maps into maps of the same shape."""
    if operation(name).kind not in (CHOICE, CLAMP) or not isinstance(x, Tensor) or not isinstance(output, Tensor):
        return False
    return output.requires_grad and output.dim() == 4 and output.shape == x.shape


@contextmanager
def replaced_relus(net: nn.Module, relu: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replaces every module with the outputs of a ReLU by `relu`, however the module computes them, inside the block.

    Modules of torch are left alone, because their calls are known.
    """

    def hook(module: nn.Module, args: Any, output: Any) -> Tensor | None:
        x = args[0] if args else None
        if not isinstance(x, Tensor) or not isinstance(output, Tensor) or x is output or not output.requires_grad:
            return None
        if output.shape != x.shape or not bool((x < 0).any()) or not torch.equal(output, x.detach().relu()):
            return None
        return relu(x)

    handles = [on_output(module, hook) for module in net.modules() if _may_be_relu(module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _may_be_relu(module: nn.Module) -> bool:
    return not any(module.children()) and not type(module).__module__.startswith("torch.nn.")


def relu_modules(net: nn.Module, net_trace: Trace) -> dict[int, int | None]:
    """Inputs of the modules that `replaced_relus` replaces, by the number of their output.

    None for every tensor that is made inside such a module that runs more than once.
    """
    inputs: dict[int, int | None] = {}
    for path, layer in net_trace.layers.items():
        module = net.get_submodule(path)
        if layer.input is None or not _may_be_relu(module) or not _rectifies(net, module, net_trace, layer):
            continue
        if layer.runs == 1:
            inputs[layer.output] = layer.input
            continue
        calls = zip(net_trace.calls, net_trace.owners, strict=True)
        inputs |= {number: None for call, owner in calls if owner == path for number in call.outputs}
    return inputs


def _rectifies(net: nn.Module, module: nn.Module, net_trace: Trace, layer: Layer) -> bool:
    """Whether a module, which runs alone, has the outputs of a ReLU for random inputs."""
    if layer.input is None or net_trace.shapes[layer.input] != net_trace.shapes[layer.output]:
        return False
    like = next((value for value in net.parameters() if value.is_floating_point()), torch.empty(0))
    values = torch.linspace(-3, 3, prod(net_trace.shapes[layer.input]), dtype=like.dtype, device=like.device)
    x = values.view(net_trace.shapes[layer.input])
    with evaluating(net), torch.no_grad(), suppress(Exception):
        output = module(copy := x.clone())
        return isinstance(output, Tensor) and output is not copy and torch.equal(output, x.relu())
    return False


def warn(net: nn.Module, net_trace: Trace, rule: str, doubtful: Doubtful) -> None:
    """Warns of each kind of call or node that keeps its own derivative; Python shows equal warnings once."""
    instead = f"so its own derivative is used where rule={rule} treats a ReLU; write it as nn.ReLU or F.relu"
    for name in sorted(doubtful.calls):
        where = next(
            (path for call, path in zip(net_trace.calls, net_trace.owners, strict=True) if call.name == name), ""
        )
        warnings.warn(f"layer {where or 'net'}: {name} is no activation that is known here, {instead}", stacklevel=4)
    compiled = ", ".join(outermost_scripted(net)) or "a function of the net"
    for name in sorted(doubtful.nodes):
        where = compiled if name == _COMPILED else name.removesuffix("Backward")
        warnings.warn(f"layer {where}: what happens inside cannot be seen, {instead}", stacklevel=4)


def _nodes(unit: Tensor) -> Iterator[Any]:
    """Yields the nodes of autograd's graph below a unit."""
    waiting, visited = [unit.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in visited:
            visited.add(node)
            yield node
            waiting += [below for below, _ in node.next_functions]


def _is_custom(node: Any) -> bool:
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def _rectify_signals(signals: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(signal.relu() for signal in signals)


def _replace_by_rectified(below: tuple[Tensor, ...], signals: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (signals[0].relu(), *below[1:])
