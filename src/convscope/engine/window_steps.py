"""Steps in which a position depends on a window of positions below: convolutions, pools, changes of scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.calls import Window
from convscope.engine.reach import Scaling
from convscope.engine.regions import Regions, Span, recut, whole_map
from convscope.engine.steps import PassStep, Place, Step


@dataclass(frozen=True)
class PadStep(PassStep):
    """Constant padding, which the area holds already."""

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return areas[0]


@dataclass(frozen=True)
class IdentityStep(PassStep):
    """Global pooling to the size that the maps have already."""

    def _called(self, values: Sequence[Tensor], place: Place | None = None) -> Tensor:
        return values[0]


@dataclass(frozen=True)
class MaxPoolStep(Step):
    """Max pooling: the signal goes to the switches, and adds up where windows share one."""

    fill: float = -torch.inf

    def _options(self) -> tuple[Any, ...]:
        assert isinstance(self.reach, Window)
        return self.reach.kernel, self.reach.stride, (0, 0), self.reach.dilation, False

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return F.max_pool2d(areas[0], *self._options())

    def up(self, areas: Sequence[Tensor], place: Place, rule: str) -> tuple[Tensor, Any]:
        return F.max_pool2d(areas[0], *self._options(), return_indices=True)

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        like = torch.empty_like(signal[:1]).new_empty(0)
        shape = self.inputs[0].region_shape(len(signal), place.areas[0].size)
        like = like.new_empty(shape).contiguous(memory_format=torch.channels_last)
        return [torch.ops.aten.max_pool2d_with_indices_backward(signal, like, *self._options(), memory)]


@dataclass(frozen=True)
class MeanPoolStep(Step):
    """Average pooling as a sum and a scale [rows, cols], because windows at the border may divide by another number."""

    scale: Tensor | None = None

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        assert isinstance(self.reach, Window) and self.scale is not None
        sums = F.avg_pool2d(areas[0], self.reach.kernel, self.reach.stride, divisor_override=1)
        scale = self.scale.to(sums).expand(len(sums), 1, *self.scale.shape)
        return sums * recut(scale, whole_map(len(sums), self.output.sides), place.region)


@dataclass(frozen=True)
class ConvolutionStep(Step):
    """Convolution: the signal goes through the transposed filters, without bias."""

    weight: Tensor | None = None
    bias: Tensor | None = None
    groups: int = 1

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        assert isinstance(self.reach, Window) and self.weight is not None
        return F.conv2d(areas[0], self.weight, self.bias, self.reach.stride, 0, self.reach.dilation, self.groups)

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        assert isinstance(self.reach, Window) and self.weight is not None
        stride, dilation = self.reach.stride, self.reach.dilation
        return [F.conv_transpose2d(signal, self.weight, None, stride, 0, 0, self.groups, dilation)]


@dataclass(frozen=True)
class ScalingStep(Step):
    """A larger scale: interpolation, shuffled pixels, or a transposed convolution."""

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        assert isinstance(self.reach, Scaling)
        x, arguments = areas[0], self.call.arguments()
        if self.call.name == "interpolate":
            size = tuple(length * factor for length, factor in zip(x.shape[2:], self.reach.factor, strict=True))
            larger = F.interpolate(x, size, mode=arguments.get("mode", "nearest"))
        elif self.call.name == "pixel_shuffle":
            larger = F.pixel_shuffle(x, self.reach.factor[0])
        else:
            options = self.reach.factor, 0, 0, arguments.get("groups", 1), arguments.get("dilation", 1)
            larger = F.conv_transpose2d(x, arguments["weight"], arguments.get("bias"), *options)
        lead = self.reach.padding if self.call.name == "conv_transpose2d" else (0, 0)
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

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        return areas[0][self.key]
