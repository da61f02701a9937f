"""A traced net as a graph of steps: what every analysis reads that computes parts of maps.

Calls that the table of operations does not cover, or that would not give the same for each image of a batch, are
obstacles: what depends on them is computed over whole images by the net itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.axes import position_axes
from convscope.engine.calls import Call, Ref, is_in_place, map_leaves
from convscope.engine.operations import BOUNDED, VIEWS
from convscope.engine.regions import MapTensor
from convscope.engine.step_reading import read_step
from convscope.engine.steps import ActivationStep, GateStep, Step
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


def read_graph(net_trace: Trace, top: Call | None = None) -> Graph:
    """The graph of a traced net. top: the activation that bounds a projected layer from above."""
    axes, fixed = position_axes(net_trace), _FixedTensors(net_trace)
    tensors = {PIXELS: MapTensor(PIXELS, net_trace.shapes[PIXELS], axes[PIXELS])}
    steps, obstacles = list[Step](), dict[int, str]()
    overwritten = _overwritten_views(net_trace.calls)
    for call in net_trace.calls:
        inputs = tuple(tensors[number] for number in call.inputs if number in tensors)
        if not inputs:
            fixed.add(call)
            continue
        blocked = next((obstacles[below.number] for below in inputs if below.number in obstacles), None)
        for part, number in enumerate(call.outputs):
            tensors[number] = MapTensor(number, net_trace.shapes[number], axes.get(number))
            step = None
            if not blocked and number not in overwritten:
                step = read_step(call, inputs, tensors[number], fixed, net_trace.shapes, part)
            if step is None:
                obstacles[number] = blocked or call.name
            else:
                steps.append(_at_top(step) if call is top else step)
    return Graph(tuple(steps), tensors, obstacles)


class _FixedTensors(Mapping[int, Tensor]):
    """Tensors of the pass that do not depend on the image, such as filters that are computed from weights."""

    def __init__(self, net_trace: Trace):
        self.calls: dict[int, Call] = {}  # by the tensor that they put out
        self.values: dict[int, Tensor] = {}

    def add(self, call: Call) -> None:
        self.calls |= dict.fromkeys(call.outputs, call)

    def __getitem__(self, number: int) -> Tensor:
        if number not in self.values:
            call = self.calls[number]
            args, kwargs = map_leaves(
                (call.args, call.kwargs), lambda leaf: self[leaf.number] if isinstance(leaf, Ref) else leaf
            )
            with torch.no_grad():
                result = call.func(*args, **kwargs)
            results = [args[0]] if result is None else [result] if isinstance(result, Tensor) else list(result)
            self.values |= dict(zip(call.outputs, results, strict=False))
        return self.values[number]

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


def _overwritten_views(calls: Sequence[Call]) -> set[int]:
    """Tensors that a call wrote over in place while a later call takes another view of the same memory."""
    memory: dict[int, int] = {}  # the first tensor with the same memory, by tensor
    last_use = {number: place for place, call in enumerate(calls) for number in call.inputs}
    names: dict[int, list[int]] = {}
    overwritten = set[int]()
    for place, call in enumerate(calls):
        in_place = bool(call.inputs) and is_in_place(call)
        first = memory.get(call.inputs[0], call.inputs[0]) if call.inputs else -1
        if in_place and any(last_use.get(number, -1) > place for number in names.get(first, [first])):
            overwritten.update(call.outputs)
        for number in call.outputs:
            memory[number] = first if in_place or call.kind in VIEWS else number
            names.setdefault(memory[number], [memory[number]]).append(number)
    return overwritten
