"""Steps in which a position depends on a window of positions below: convolutions, pools, changes of scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.calls import Pair, Window
from convscope.engine.operations import PAD, RESAMPLE, TO_SPACE, TRANSPOSED
from convscope.engine.reach import Scaling
from convscope.engine.regions import Regions, Span, recut, whole_map
from convscope.engine.steps import PassStep, Place, Step


@dataclass(frozen=True)
class AreaStep(PassStep):
    """A call whose output is the area itself: constant padding, which the area holds, or a pool to the maps' size."""

    @property
    def makes_new(self) -> bool:
        return False

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return areas[0]

    def whole(self, maps: Sequence[Tensor]) -> Tensor:
        return super().whole(maps) if self.call.kind == PAD else maps[0]


@dataclass(frozen=True)
class MaxPoolStep(Step):
    """Max pooling: the signal goes to the switches, and adds up where windows share one."""

    fill: float = -torch.inf

    def _options(self) -> tuple[Any, ...]:
        assert isinstance(self.reach, Window)
        return self.reach.kernel, self.reach.stride, (0, 0), self.reach.dilation, False

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return F.max_pool2d(areas[0], *self._options())

    def up(self, areas: Sequence[Tensor], place: Place, rule: str) -> tuple[Tensor, Any]:
        return F.max_pool2d(areas[0], *self._options(), return_indices=True)

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        shape = self.inputs[0].region_shape(len(signal), place.areas[0].size)
        options = {"dtype": signal.dtype, "device": signal.device}
        below = torch.empty(shape, memory_format=torch.channels_last, **options)  # type: ignore[call-overload]
        return [torch.ops.aten.max_pool2d_with_indices_backward(signal, below, *self._options(), memory)]


@dataclass(frozen=True)
class MeanPoolStep(Step):
    """Average pooling as a sum and a scale [rows, cols], because windows at the border may divide by another number."""

    scale: Tensor | None = None

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        assert isinstance(self.reach, Window) and self.scale is not None
        sums = F.avg_pool2d(areas[0], self.reach.kernel, self.reach.stride, divisor_override=1)
        if bool((self.scale == self.scale[0, 0]).all()):
            return sums * float(self.scale[0, 0])
        scale = self.scale.to(sums).expand(len(sums), 1, *self.scale.shape)
        return sums * recut(scale, whole_map(len(sums), self.output.sides), place.region)


@dataclass(frozen=True)
class ConvolutionStep(Step):
    """Convolution: the signal goes through the transposed filters, without bias."""

    weight: Tensor | None = None
    bias: Tensor | None = None
    groups: int = 1

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        assert isinstance(self.reach, Window) and self.weight is not None
        return F.conv2d(areas[0], self.weight, self.bias, self.reach.stride, 0, self.reach.dilation, self.groups)

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        assert isinstance(self.reach, Window) and self.weight is not None
        if place.region.size == (1, 1):
            return [self._down_from_one_position(signal)]
        if self._pixel_filters is not None:
            return [self._down_to_pixels(signal, place.areas[0].size)]
        stride, dilation = self.reach.stride, self.reach.dilation
        return [F.conv_transpose2d(signal, self.weight, None, stride, 0, 0, self.groups, dilation)]

    @cached_property
    def _filters(self) -> Tensor:
        """The filters [groups, maps, kernel rows, kernel cols, c] of each group."""
        assert self.weight is not None
        return self.weight.unflatten(0, (self.groups, -1)).movedim(2, -1).contiguous()

    def _down_from_one_position(self, signal: Tensor) -> Tensor:
        """The signal below one position [p, C, 1, 1]: the sum of the filters, each by its map's signal."""
        assert isinstance(self.reach, Window)
        filters, dilation = self._filters, self.reach.dilation
        by_group = signal.flatten(1).unflatten(1, (self.groups, -1)).transpose(0, 1)  # [groups, p, maps]
        sums = (by_group @ filters.flatten(2)).view(self.groups, len(signal), *filters.shape[2:])
        sums = sums.permute(1, 0, 4, 2, 3).flatten(1, 2)  # channels last of one group
        if dilation == (1, 1):
            return sums
        spread = sums.new_zeros(*sums.shape[:2], *self.reach.extent())
        spread[:, :, :: dilation[0], :: dilation[1]] = sums
        return spread

    @cached_property
    def _pixel_filters(self) -> Tensor | None:
        """Filters [stride * stride * c, C, t, t] of a plain convolution equal to the transposed convolution.

        One set of filters for each position between the strides, t = kernel / stride. Down to the three maps of the
        pixels this takes a third of the time. None where it does not pay or does not apply.
        """
        assert isinstance(self.reach, Window) and self.weight is not None
        kernel, stride, _, dilation = self.reach
        step, maps, below = stride[0], *self.weight.shape[:2]
        square = kernel[0] == kernel[1] and stride[0] == stride[1]
        if below > 4 or self.groups > 1 or dilation != (1, 1) or not square:
            return None
        taps = -(-kernel[0] // step)
        filters = self.weight.new_zeros(below, step, step, maps, taps, taps)
        for row in range(min(step, kernel[0])):
            for col in range(min(step, kernel[0])):
                part = self.weight[:, :, row::step, col::step].flip(2, 3).transpose(0, 1)
                filters[:, row, col, :, taps - part.shape[2] :, taps - part.shape[3] :] = part
        return filters.reshape(below * step * step, maps, taps, taps).contiguous(memory_format=torch.channels_last)

    def _down_to_pixels(self, signal: Tensor, size: Pair) -> Tensor:
        assert self._pixel_filters is not None and isinstance(self.reach, Window)
        places = F.conv2d(signal, self._pixel_filters, padding=self._pixel_filters.shape[2] - 1)
        return F.pixel_shuffle(places, self.reach.stride[0])[:, :, : size[0], : size[1]]


@dataclass(frozen=True)
class ScalingStep(Step):
    """A larger scale: interpolation, shuffled pixels, or a transposed convolution."""

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        assert isinstance(self.reach, Scaling)
        x, arguments = areas[0], self.call.arguments()
        if self.call.kind == RESAMPLE:
            size = tuple(length * factor for length, factor in zip(x.shape[2:], self.reach.factor, strict=True))
            larger = F.interpolate(x, size, mode=arguments.get("mode", "nearest"))
        elif self.call.kind == TO_SPACE:
            larger = F.pixel_shuffle(x, self.reach.factor[0])
        else:
            options = self.reach.factor, 0, 0, arguments.get("groups", 1), arguments.get("dilation", 1)
            larger = F.conv_transpose2d(x, arguments["weight"], arguments.get("bias"), *options)
        lead = self.reach.padding if self.call.kind == TRANSPOSED else (0, 0)
        rows, cols = (
            Span(span.start * factor - before, length)
            for span, factor, before, length in zip(
                place.areas[0], self.reach.factor, lead, larger.shape[2:], strict=True
            )
        )
        return recut(larger, Regions(rows, cols), place.region)


@dataclass(frozen=True)
class SliceStep(Step):
    """Slices of maps, and of rows and columns as well: x[:, :, 1:, 1:]."""

    key: tuple[slice, ...] = ()

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return areas[0][self.key]
