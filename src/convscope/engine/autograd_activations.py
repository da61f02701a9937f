"""Activations in code whose calls Python does not see: compiled modules, functions with a derivative of their own.

On the way down they still stand in autograd's graph. Those of a known name follow the rule there; of the others one
warning tells, because their own derivative is used.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.hooks import on_output, outermost
from convscope.engine.trace import Trace

_NAMES = """
    Relu Hardtanh LeakyRelu Elu Selu Celu Gelu Silu Mish Hardswish Softplus PreluKernel Threshold
"""
_NODES = {f"{name}Backward0" for name in _NAMES.split()}
_COMPILED = "DifferentiableGraphBackward"  # of several calls that torch.jit has made one of
_DOUBTFUL = {"abs", "maximum", "minimum", "max", "fmax", "where", "masked_fill", "clamp", "clamp_min", "clip"}


class Doubtful(NamedTuple):
    """Names of calls, and of nodes of autograd, that may be activations, but were not recognized as one."""

    calls: set[str]
    nodes: set[str]


@contextmanager
def apply_rule(unit: Tensor, rule: str, own: str, calls: Mapping[Any, str]) -> Iterator[Doubtful]:
    """Until the block ends the activations below a unit, in graph form, pass down what the rule says of a ReLU.

    own: name of the nodes that do so already. calls: the node and the name of each call that is doubtful. Yields what
    is doubtful on the way down.
    """
    handles, doubtful = [], Doubtful(set(), set())
    for node in _nodes(unit):
        if node.name() in _NODES and rule != "gradient":
            handles.append(node.register_prehook(_positive) if rule == "guided" else node.register_hook(_passed))
        elif node.name().endswith(_COMPILED) or (_is_custom(node) and node.name() != own):
            doubtful.nodes.add(node.name().rpartition("::")[2])
        elif node in calls:
            doubtful.calls.add(calls[node])
    try:
        yield doubtful
    finally:
        for handle in handles:
            handle.remove()


def is_doubtful(name: str, x: Any, output: Any) -> bool:
    """Whether a call that was not recognized as an activation may be one: it makes maps of maps, value by value."""
    if name not in _DOUBTFUL or not isinstance(x, Tensor) or not isinstance(output, Tensor):
        return False
    return output.requires_grad and output.dim() == 4 and output.shape == x.shape


@contextmanager
def replaced_relus(net: nn.Module, relu: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Until the block ends every module that puts out just what a ReLU would, however it does that, is one.

    Modules of torch itself are left alone: their calls are known.
    """

    def hook(module: nn.Module, args: Any, output: Any) -> Tensor | None:
        x = args[0] if args else None
        if not isinstance(x, Tensor) or not isinstance(output, Tensor) or x is output or not output.requires_grad:
            return None
        if output.shape != x.shape or not bool((x < 0).any()) or not torch.equal(output, x.detach().relu()):
            return None
        return relu(x)

    leaves = [module for module in net.modules() if not any(module.children())]
    own = [module for module in leaves if not type(module).__module__.startswith("torch.nn.")]
    handles = [on_output(module, hook) for module in own]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def warn(net: nn.Module, pass_: Trace, rule: str, doubtful: Doubtful) -> None:
    """One line for each kind of call or node that was left to its own derivative; Python shows the same line once."""
    instead = f"so its own derivative is used where rule={rule} treats a ReLU; write it as nn.ReLU or F.relu"
    for name in sorted(doubtful.calls):
        where = next((path for call, path in zip(pass_.calls, pass_.owners, strict=True) if call.name == name), "")
        warnings.warn(f"layer {where or 'net'}: {name} is no activation that is known here, {instead}", stacklevel=4)
    compiled = ", ".join(outermost(net)) or "a function of the net"
    for name in sorted(doubtful.nodes):
        where = compiled if name == _COMPILED else name.removesuffix("Backward")
        warnings.warn(f"layer {where}: what happens inside cannot be seen, {instead}", stacklevel=4)


def _nodes(unit: Tensor) -> Iterator[Any]:
    waiting, visited = [unit.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in visited:
            visited.add(node)
            yield node
            waiting += [below for below, _ in node.next_functions]


def _is_custom(node: Any) -> bool:
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def _positive(signals: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(signal.relu() for signal in signals)


def _passed(below: tuple[Tensor, ...], signals: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (signals[0].relu(), *below[1:])
