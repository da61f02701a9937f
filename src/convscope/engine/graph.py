"""A traced net as a graph of steps: what every analysis reads that computes parts of maps.

Calls that the table of operations does not cover, or that would not give the same for each image of a batch, are
obstacles: what depends on them is computed over whole images by the net itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.axes import position_axes
from convscope.engine.calls import Call, Ref, map_leaves
from convscope.engine.operations import ASSIGNMENT, BOUNDED, VIEWS
from convscope.engine.reach import SAME
from convscope.engine.regions import MapTensor
from convscope.engine.step_reading import read_step
from convscope.engine.steps import ActivationStep, GateStep, Step, is_in_place
from convscope.engine.trace import PIXELS, Trace


class Graph(NamedTuple):
    """steps in order. tensors: those that depend on the image, by number.

    obstacles: the name of the first call in the way, for each tensor on which no steps lead.
    """

    steps: tuple[Step, ...]
    tensors: Mapping[int, MapTensor]
    obstacles: Mapping[int, str]

    def below(self, number: int) -> list[Step]:
        """The steps on which a tensor depends, in order."""
        needed, steps = {number}, list[Step]()
        for step in reversed(self.steps):
            if step.output.number in needed:
                needed.update(below.number for below in step.inputs)
                steps.append(step)
        return steps[::-1]


def read_graph(
    net_trace: Trace, top: Call | None = None, relus: Mapping[int, int | None] = MappingProxyType({})
) -> Graph:
    """The graph of a traced net. top: the activation that bounds a projected layer from above.

    relus: inputs of modules that are ReLUs by their values, by output; None: an obstacle.
    """
    axes, fixed = position_axes(net_trace), _FixedTensors(net_trace)
    tensors = {PIXELS: MapTensor(PIXELS, net_trace.shapes[PIXELS], axes[PIXELS])}
    steps, obstacles = list[Step](), dict[int, str]()
    overwritten = _overwritten_views(net_trace.calls)
    for call in net_trace.calls:
        inputs = tuple(tensors[number] for number in call.inputs if number in tensors)
        if not inputs and overwritten.keys().isdisjoint(call.outputs):
            fixed.add(call)
            continue
        blocked = next((obstacles[below.number] for below in inputs if below.number in obstacles), None)
        for part, number in enumerate(call.outputs):
            tensors[number] = MapTensor(number, net_trace.shapes[number], axes.get(number))
            step = None
            if number in relus:
                step = None if blocked else _relu(tensors, relus[number], tensors[number])
            elif not blocked and number not in overwritten:
                step = read_step(call, inputs, tensors[number], fixed, net_trace.shapes, part)
            if step is None:
                obstacles[number] = blocked or overwritten.get(number, call.name)
            else:
                steps.append(_at_top(step) if call is top else step)
    return Graph(tuple(steps), tensors, obstacles)


def _relu(tensors: Mapping[int, MapTensor], below: int | None, output: MapTensor) -> Step | None:
    """A ReLU of a tensor that depends on the image; None of another one."""
    if below is None or below not in tensors:
        return None
    call = Call(F.relu, (Ref(below),), {}, (below,), (output.number,))
    return ActivationStep(call, (tensors[below],), output, SAME, {})


class _FixedTensors(Mapping[int, Tensor]):
    """Tensors of the pass that do not depend on the image, such as filters that are computed from weights."""

    def __init__(self, net_trace: Trace):
        self.calls: dict[int, Call] = {}  # by the tensor that they put out
        self.results: dict[int, Tensor] = {}

    def add(self, call: Call) -> None:
        self.calls |= dict.fromkeys(call.outputs, call)

    def __getitem__(self, number: int) -> Tensor:
        if number not in self.results:
            call = self.calls[number]
            args, kwargs = map_leaves(
                (call.args, call.kwargs), lambda leaf: self[leaf.number] if isinstance(leaf, Ref) else leaf
            )
            with torch.no_grad():
                result = call.func(*args, **kwargs)
            results = [args[0]] if result is None else [result] if isinstance(result, Tensor) else list(result)
            self.results |= dict(zip(call.outputs, results, strict=False))
        return self.results[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)


def _at_top(step: Step) -> Step:
    """The step of the activation at the end of the projected layer: its units at the upper bound are on."""
    if isinstance(step, ActivationStep):
        return replace(step, top=True)
    fields = {name: getattr(step, name) for name in Step.__dataclass_fields__}
    return GateStep(**fields) if step.call.name in BOUNDED else step


def _overwritten_views(calls: Sequence[Call]) -> dict[int, str]:
    """Tensors in the memory of which a call writes in place while a later call takes another view of it.

    By tensor the name of the call that writes.
    """
    memory: dict[int, int] = {}  # the first tensor with the same memory, by tensor
    last_use = {number: place for place, call in enumerate(calls) for number in call.inputs}
    views: dict[int, list[int]] = {}
    overwritten: dict[int, str] = {}
    for place, call in enumerate(calls):
        in_place = bool(call.inputs) and (is_in_place(call) or call.kind == ASSIGNMENT)
        first = memory.get(call.inputs[0], call.inputs[0]) if call.inputs else -1
        later = [number for number in views.get(first, []) if last_use.get(number, -1) > place]
        if in_place and later:
            overwritten |= dict.fromkeys([*later, *call.outputs], call.name)
        for number in call.outputs:
            memory[number] = first if in_place or call.kind in VIEWS else number
            views.setdefault(memory[number], [memory[number]]).append(number)
    return overwritten
