"""The part of a net above a layer, run again for changed outputs of that layer; everything below runs once.

The steps of the net's graph compute it. Where a call that no step covers is in the way, the whole net runs with a
hook that puts the changed output in: the same values, a full pass for each.
"""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.axes import MAPS, axes_of
from convscope.engine.graph import Graph, read_graph
from convscope.engine.hooks import evaluating, on_output
from convscope.engine.steps import Step, is_in_place
from convscope.engine.trace import PIXELS, ImageSize, Trace, trace
from convscope.errors import UserError

Values = dict[int, Tensor]  # by tensor number
VALUES_AT_ONCE = 2**24  # of the largest tensor of a batch


class BasePass(NamedTuple):
    """One pass of images as they are. values: the tensors that the upper part takes, and the layer's output.

    output: of the layer [N, ...]. logits: [N, K].
    """

    images: Tensor
    values: Values
    output: Tensor
    logits: Tensor


class UpperPart:
    """The part above one layer of a net, for images of one size.

    number: of the layer's output tensor. channel: the dimension of its maps, `maps`: how many. steps: those above, in
    order; obstacle: the call in the way of the steps, "" where they compute everything.
    """

    def __init__(self, net: nn.Module, image: ImageSize, layer: str):
        """Raises UserError for a layer without maps or units, or one on which the net's answer does not depend."""
        net_trace = trace(net, image)
        self.net, self.layer, self.number = net, layer, net_trace.layer(layer).output
        shape, axes = net_trace.shapes[self.number], axes_of(net_trace).get(self.number, MAPS)
        if len(shape) not in (2, 4):
            raise UserError(
                f"layer {layer} puts out tokens {list(shape[1:])}, no maps or units to switch off; choose another layer"
            )
        self.channel = 6 - sum(axes) if len(shape) == 4 else 1
        self.maps = shape[self.channel]
        _check_answer_depends(net_trace, self.number, layer)
        graph = read_graph(net_trace)
        self.output = -1 if net_trace.output is None else net_trace.output
        self.obstacle = _obstacle(graph, self.output)
        self.below = [] if self.obstacle else graph.below(self.output)
        self.steps = _above(self.below, self.number)
        self.shapes: Mapping[int, tuple[int, ...]] = net_trace.shapes
        taken = {tensor.number for step in self.steps for tensor in step.inputs}
        made = {step.output.number for step in self.steps}
        self.stored = {self.number, self.output} | (taken - made)  # what a pass keeps

    @property
    def size(self) -> int:
        """Values of the largest tensor that is computed anew for one changed output."""
        numbers = [PIXELS, *self.shapes] if self.obstacle else [step.output.number for step in self.steps]
        return max([_count(self.shapes[self.number]), *(_count(self.shapes[number]) for number in numbers)])

    @property
    def outputs_at_once(self) -> int:
        """How many changed outputs are a batch."""
        return max(1, VALUES_AT_ONCE // self.size)

    @torch.inference_mode()
    def base(self, images: Tensor, also: Set[int] = frozenset()) -> BasePass:
        """One pass of images [N, C, H, W] as they are, in eval mode. also: further tensors of the pass to keep."""
        images = images.to(next(self.net.parameters()).device)
        if self.obstacle:
            output, logits = self._hooked(images, None)
            return BasePass(images, {}, output, logits)
        values = {PIXELS: images.contiguous(memory_format=torch.channels_last)}
        last_use = {tensor.number: place for place, step in enumerate(self.below) for tensor in step.inputs}
        stored = self.stored | also
        with evaluating(self.net):
            for place, step in enumerate(self.below):
                values[step.output.number] = run_step(step, values)
                for tensor in step.inputs:
                    if last_use[tensor.number] == place and tensor.number not in stored:
                        values.pop(tensor.number, None)
        return BasePass(images, values, values[self.number], values[self.output])

    @torch.inference_mode()
    def logits(self, base: BasePass, image: Tensor, output: Tensor) -> Tensor:
        """Logits [P, K] with changed outputs [P, ...] of the layer, which are used up, for images [P] of the pass."""
        if self.obstacle:
            return self._hooked(base.images[image], output)[1]
        with evaluating(self.net):
            return self.rest(base, image, {self.number: output}, self.steps)

    def rest(self, base: BasePass, image: Tensor, changed: Values, steps: list[Step]) -> Tensor:
        """Logits [P, K] by these steps. changed: tensors [P, ...] that differ from those of the pass; is used up."""
        values, last_use = changed, {tensor.number: at for at, step in enumerate(steps) for tensor in step.inputs}
        owned = set(changed)  # tensors whose memory no other tensor has
        for place, step in enumerate(steps):
            numbers = [tensor.number for tensor in step.inputs]
            for number in numbers:
                if number not in values:
                    values[number] = base.values[number][image]
                    owned.add(number)
            free = all(last_use[number] == place and number in owned for number in numbers)
            values[step.output.number] = run_step(step, values, free)
            if step.makes_new and not is_in_place(step.call):
                owned.add(step.output.number)
            for number in numbers:
                if last_use[number] == place and number != self.output:
                    values.pop(number)
        return values[self.output]

    def _hooked(self, images: Tensor, output: Tensor | None) -> tuple[Tensor, Tensor]:
        """The layer's output and the logits of whole passes, with the output put in the place of the layer's."""
        outputs: list[Tensor] = []

        def hook(module: nn.Module, args: Any, result: Tensor) -> Tensor | None:
            outputs.append(result.clone())
            return None if output is None else output.clone()

        handle = on_output(self.net.get_submodule(self.layer), hook)
        try:
            with torch.inference_mode(), evaluating(self.net):
                logits = self.net(images)
        finally:
            handle.remove()
        return outputs[0], logits


def run_step(step: Step, values: Values, free: bool = False) -> Tensor:
    """The output of a step. free: whether a call in place may write over its inputs."""
    inputs = [values[tensor.number] for tensor in step.inputs]
    return step.whole([value.clone() for value in inputs] if is_in_place(step.call) and not free else inputs)


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape[1:]).numel()


def _obstacle(graph: Graph, output: int) -> str:
    """The name of a call that keeps the graph's steps from the net's answer; "" where there is none."""
    if output < 0:
        return "an answer that is no tensor"
    return graph.obstacles.get(output, "")


def _above(steps: list[Step], number: int) -> list[Step]:
    """The steps that depend on a tensor."""
    changed, above = {number}, list[Step]()
    for step in steps:
        if any(tensor.number in changed for tensor in step.inputs):
            changed.add(step.output.number)
            above.append(step)
    return above


def _check_answer_depends(net_trace: Trace, number: int, layer: str) -> None:
    reached = {number}
    for call in net_trace.calls:
        if reached.intersection(call.inputs):
            reached.update(call.outputs)
    last = {*net_trace.calls[-1].outputs} if net_trace.output is None else {net_trace.output}
    if not reached & last:
        raise UserError(
            f"the net's answer does not depend on layer {layer}, so nothing is lost where its maps are off; choose a "
            "layer on the way to the answer"
        )
