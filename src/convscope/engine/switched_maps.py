"""Logits of a net with single maps of a layer switched off, for every image and every map, by as little work as needed.

A map that is off changes one map alone of what acts map by map above it (activations, pools, batch norm, depthwise
filters), so that all maps go through these steps at once. Where such a map enters a convolution or a linear layer, its
output changes by the share of that map alone: y - W_c (x_c - x_c'), a C-th of the work. Where nothing changes (a map
that is zero for an image), nothing is computed. From there on the pairs of image and map run in batches.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine import operations
from convscope.engine.hooks import evaluating
from convscope.engine.operations import JOIN, PAD, REDUCTION, SHAPE
from convscope.engine.reach import reduced_dimensions
from convscope.engine.steps import MatrixStep, Step
from convscope.engine.upper_part import BasePass, UpperPart, Values, run_step
from convscope.engine.window_steps import ConvolutionStep

# Each value of the output depends on one value of each input, whatever the layout.
_ELEMENTWISE = {
    operations.ACTIVATION,
    operations.CLAMP,
    operations.GATE,
    operations.INERT,
    operations.SUM,
    operations.PRODUCT,
    operations.BATCH_NORM,
}
_BY_MAP = {operations.MAX_POOL, operations.MEAN_POOL, operations.NORM_POOL, operations.GLOBAL_POOL}
VALUES_AT_ONCE = {"cpu": 2**22}  # of the largest tensor of a batch of pairs
MANY_VALUES = 2**26  # on other devices
MOST_PAIRS = 1024


class SwitchedLogits(NamedTuple):
    """Pairs of an image and a map, int64 [P] each, and the logits [P, K] of the image with that map off."""

    image: Tensor
    map: Tensor
    logits: Tensor


class _Place(NamedTuple):
    """Where the maps of the layer are in a tensor: `per` entries each from `first` on, along dimension `dim`."""

    dim: int
    first: int
    per: int


class SwitchedMaps:
    """Switches single maps of the layer of an upper part off."""

    def __init__(self, part: UpperPart):
        self.part = part
        self.places = {part.number: _Place(part.channel, 0, 1)}
        self.by_map, self.mixing = list[Step](), list[Step]()
        for step in part.steps:
            place = self._place_above(step)
            if place is None:
                self.mixing.append(step)
            else:
                self.by_map.append(step)
                self.places[step.output.number] = place
        taken = {tensor.number for step in self.mixing for tensor in step.inputs} | {part.output}
        self.fronts = [number for number in self.places if number in taken] or [part.number]
        self.added = {step.output.number for step in self.mixing if self._adds_shares(step)}
        self.pairs_at_once = self._pairs_at_once()

    def base(self, images: Tensor) -> BasePass:
        """One pass of images [N, C, H, W] as they are, for `pairs`."""
        return self.part.base(images, {*self.fronts, *self.added})

    def pairs(
        self, base: BasePass, value: Tensor | float = 0.0, maps: Tensor | None = None
    ) -> Iterator[SwitchedLogits]:
        """Yields the logits of all pairs that change, map by map; for all others they are those of the pass.

        value: what takes the place of a map, a number or an output of the layer [1, ...]. maps: int64, None: all.
        """
        with torch.inference_mode(), evaluating(self.part.net):
            off = torch.empty_like(base.output).copy_(torch.as_tensor(value, device=base.output.device))
            switched = self._all_off(base, off)
            alive = self._changed(base, switched)
            if maps is not None:
                chosen = torch.zeros(self.part.maps, dtype=torch.bool)
                alive &= chosen.index_fill_(0, maps.cpu(), True).to(alive.device)
            map_, image = alive.t().nonzero(as_tuple=True)
        for images, numbers in zip(image.split(self.pairs_at_once), map_.split(self.pairs_at_once), strict=True):
            with torch.inference_mode(), evaluating(self.part.net):
                logits = self._logits(base, switched, images, numbers)
            yield SwitchedLogits(images, numbers, logits)

    def _pairs_at_once(self) -> int:
        """How many pairs are a batch: few enough for the largest tensor among them."""
        device = next(self.part.net.parameters()).device.type
        entering = [step.inputs for step in self.mixing if step.output.number not in self.added]
        shapes = [step.output.shape for step in self.mixing] + [below.shape for inputs in entering for below in inputs]
        size = self.part.size if self.part.obstacle else max([prod(shape) for shape in shapes], default=self.part.size)
        return max(1, min(MOST_PAIRS, VALUES_AT_ONCE.get(device, MANY_VALUES) // size))

    def _all_off(self, base: BasePass, off: Tensor) -> Values:
        """The tensors that map by map steps make: each map as it is where it alone is off."""
        switched = {self.part.number: off}
        for step in self.by_map:
            numbers = [tensor.number for tensor in step.inputs]
            inputs = {number: switched[number] if number in switched else base.values[number] for number in numbers}
            switched[step.output.number] = run_step(step, inputs)
        return switched

    def _changed(self, base: BasePass, switched: Values) -> Tensor:
        """Whether a map that is off changes anything that enters further steps, bool [N, C]."""
        changed = torch.zeros(len(base.output), self.part.maps, dtype=torch.bool, device=base.output.device)
        for number in self.fronts:
            place, differs = self.places[number], switched[number] != self._plain(base, number)
            entries = differs.movedim(place.dim, 1).narrow(1, place.first, place.per * self.part.maps)
            changed |= entries.reshape(*changed.shape, -1).any(-1)
        return changed

    def _plain(self, base: BasePass, number: int) -> Tensor:
        """A tensor of the pass with no map off."""
        return base.output if number == self.part.number else base.values[number]

    def _logits(self, base: BasePass, switched: Values, image: Tensor, map_: Tensor) -> Tensor:
        """Logits [P, K] of images [P], each with one map [P] off."""
        part = self.part
        if part.obstacle:
            return part.logits(base, image, self._one_off(base, switched, part.number, image, map_))
        if part.output in self.places:
            return self._one_off(base, switched, part.output, image, map_)
        changed = Values()
        for step in self.mixing:
            number = step.output.number
            if number in self.added:
                changed[number] = self._share(step, base, switched, image, map_).add_(base.values[number][image])
                continue
            for below in step.inputs:
                if below.number in self.places and below.number not in changed:
                    changed[below.number] = self._one_off(base, switched, below.number, image, map_)
        return part.rest(base, image, changed, [step for step in self.mixing if step.output.number not in self.added])

    def _entries(self, number: int, map_: Tensor) -> Tensor:
        """The entries of maps [P] in a tensor: int64 [P, per]."""
        place = self.places[number]
        return place.first + map_[:, None] * place.per + torch.arange(place.per, device=map_.device)

    def _one_off(self, base: BasePass, switched: Values, number: int, image: Tensor, map_: Tensor) -> Tensor:
        """A tensor for pairs [P, ...]: of each image, with the entries of one map as they are where it is off."""
        dim, entries = self.places[number].dim, self._entries(number, map_)
        result = self._plain(base, number)[image].movedim(dim, 1)
        row = torch.arange(len(image), device=image.device)[:, None]
        result[row, entries] = switched[number].movedim(dim, 1)[image[:, None], entries]
        return result.movedim(1, dim)

    def _adds_shares(self, step: Step) -> bool:
        """Whether the output of a step is the sum of the shares of its input's maps."""
        place = self.places.get(step.inputs[0].number)
        if len(step.inputs) > 1 or place is None or place.dim != 1:
            return False
        if isinstance(step, ConvolutionStep):
            return step.groups == 1 and place.per == 1
        return isinstance(step, MatrixStep) and len(step.inputs[0].shape) == 2

    def _share(self, step: Step, base: BasePass, switched: Values, image: Tensor, map_: Tensor) -> Tensor:
        """What a linear step adds to its output, [P, ...], where one map [P] is off."""
        number = step.inputs[0].number
        entries = self._entries(number, map_)
        change = switched[number][image[:, None], entries] - self._plain(base, number)[image[:, None], entries]
        weight, options = _linear_weight(step)
        if prod(change.shape[1:]) == 1 and weight.dim() == 2:
            return change * weight.t()[entries[:, 0]]
        maps, counts = map_.unique_consecutive(return_counts=True)
        of_maps = zip(change.split(counts.tolist()), self._entries(number, maps)[:, 0].tolist(), strict=True)
        columns = ((part, weight[:, first : first + part.shape[1]]) for part, first in of_maps)
        if weight.dim() == 2:
            return torch.cat([part @ column.t() for part, column in columns])
        return torch.cat([F.conv2d(part, column, **options) for part, column in columns])

    def _place_above(self, step: Step) -> _Place | None:
        """Where the maps are in the output of a step that acts map by map; None for a step that mixes maps."""
        entering = [self.places.get(tensor.number) for tensor in step.inputs]
        changed = {tensor.number for tensor in step.inputs} & {above.output.number for above in self.mixing}
        places = {place for place in entering if place is not None}
        if changed or len(places) != 1:
            return None
        (place,) = places
        shape, kind = step.output.shape, step.call.kind
        below = next(tensor for tensor in step.inputs if tensor.number in self.places)
        of_maps = place.dim == 1 and len(below.shape) == 4
        if kind in _ELEMENTWISE and all(tensor.shape == shape for tensor in step.inputs):
            return place
        if kind == JOIN and place.dim == 1:
            return _joined(step, place, [tensor.number for tensor in step.inputs if tensor.number in self.places])
        if len(step.inputs) > 1:
            return None
        if kind == SHAPE and place.dim == 1 and shape[1] % below.shape[1] == 0 and len(shape) in (2, 4):
            per = shape[1] // below.shape[1]
            return _Place(1, place.first * per, place.per * per) if len(shape) == 2 or per == 1 else None
        depthwise = isinstance(step, ConvolutionStep) and step.groups == below.shape[1] == shape[1]
        padded = kind == PAD and len(step.call.arguments()["pad"]) <= 4
        reduced = kind == REDUCTION and step.call.name != "softmax" and _over_positions(step, len(below.shape))
        return place if of_maps and (kind in _BY_MAP or depthwise or padded or reduced) else None


def _linear_weight(step: Step) -> tuple[Tensor, dict[str, Any]]:
    """Weights of a convolution or a linear layer, and the options of the convolution."""
    arguments = step.call.arguments()
    if isinstance(step, ConvolutionStep):
        assert step.weight is not None
        return step.weight, {name: arguments[name] for name in ("stride", "padding", "dilation") if name in arguments}
    weight = arguments["weight"]
    return weight if isinstance(weight, Tensor) else step.fixed[weight.number], {}


def _joined(step: Step, place: _Place, changed: list[int]) -> _Place | None:
    """The place of the maps in tensors that are joined along their maps."""
    arguments = step.call.arguments()
    tensors = [tensor.number for tensor in step.inputs]
    leaves = arguments["tensors"]
    if len(changed) != 1 or len(tensors) != len(leaves) or arguments.get("dim", 0) % len(step.output.shape) != 1:
        return None
    shapes = {tensor.number: tensor.shape for tensor in step.inputs}
    before = [leaf.number for leaf in leaves]
    return place._replace(first=place.first + sum(shapes[number][1] for number in before[: before.index(changed[0])]))


def _over_positions(step: Step, dims: int) -> bool:
    """Whether a reduction is over rows or columns alone."""
    reduced = {axis % dims for axis in reduced_dimensions(step.call)}
    return bool(reduced) and reduced <= {2, 3}
