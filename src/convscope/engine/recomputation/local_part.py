"""The local part of a net: calls in which every position depends on a window of the maps below, branches too.

It ends where positions come together (flattening, global pooling, attention). From the tensors at its end the net runs
on without it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from convscope.engine.calls import Call
from convscope.engine.graph import read_graph
from convscope.engine.operations import ASSIGNMENT, CUT, INDEX, INERT, MOVE, SHAPE
from convscope.engine.reach import SAME
from convscope.engine.regions import MapTensor
from convscope.engine.steps import Step, is_in_place
from convscope.engine.trace import PIXELS, Trace

_VIEWS = {MOVE, SHAPE, CUT, INDEX, INERT}  # their output may share memory with their input


class LocalPart(NamedTuple):
    """calls, steps: in order; a call that splits maps has several steps. tensors: those that depend on the image."""

    net_trace: Trace
    calls: tuple[Call, ...]
    steps: tuple[Step, ...]
    tensors: Mapping[int, MapTensor]

    @property
    def numbers(self) -> set[int]:
        """The image and all that the part puts out."""
        return {PIXELS, *(step.output.number for step in self.steps)}

    @property
    def calls_above(self) -> list[Call]:
        """The calls outside the part that depend on the image."""
        inside = {call.outputs for call in self.calls}
        return [
            call
            for call in self.net_trace.calls
            if call.outputs not in inside and any(number in self.tensors for number in call.inputs)
        ]

    @property
    def ends(self) -> list[int]:
        """The tensors of the part, or the image, that calls outside it take."""
        return sorted({number for call in self.calls_above for number in call.inputs} & self.numbers)

    def first(self, count: int) -> "LocalPart":
        """The part of the first so many calls."""
        outputs = {number for call in self.calls[:count] for number in call.outputs}
        steps = tuple(step for step in self.steps if step.output.number in outputs)
        return self._replace(calls=self.calls[:count], steps=steps)

    def shares_overwritten_memory(self) -> bool:
        """Whether a call above writes over maps of which the part makes views: their common memory would be lost."""
        views = {number for call in self.calls if call.kind in _VIEWS for number in (*call.inputs, *call.outputs)}
        writers = [call for call in self.calls_above if is_in_place(call) or call.kind == ASSIGNMENT]
        return any(call.inputs[0] in views for call in writers)


def local_part(net_trace: Trace) -> LocalPart:
    """The largest local part of a traced net; without calls where the net has none."""
    graph = read_graph(net_trace)
    makers = {step.output.number: step for step in graph.steps}
    numbers, calls, steps = {PIXELS}, list[Call](), list[Step]()
    for call in net_trace.calls:
        made_by = [makers[number] for number in call.outputs if number in makers]
        if len(made_by) == len(call.outputs) and all(_is_local(step, numbers) for step in made_by):
            calls.append(call)
            steps += made_by
            numbers.update(call.outputs)
    return LocalPart(net_trace, tuple(calls), tuple(steps), graph.tensors)


def _is_local(step: Step, numbers: set[int]) -> bool:
    """Whether a step computes windows from windows. numbers: of the tensors known in windows."""
    if step.reach is None or step.output.axes is None or hasattr(step.call.func, "module"):
        return False  # a compiled module runs where no call can be skipped
    broadcast = step.reach == SAME and any(below.sides != step.output.sides for below in step.inputs)
    return not broadcast and all(below.number in numbers and below.axes for below in step.inputs)
