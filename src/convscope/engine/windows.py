"""The sliding window of a convolution or a pool: kernel, stride, padding and dilation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from convscope.engine.calls import Call, Ref

Pair = tuple[int, int]  # rows, columns


class Window(NamedTuple):
    """A sliding window. kernel, stride, padding (above and left), dilation: rows and columns."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def extent(self) -> Pair:
        """Positions from one end of the window to the other, holes of the dilation included."""
        rows, cols = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, cols

    def below(self, size: Pair) -> Pair:
        """Size of the area in the map below that an area of this size in the map above depends on."""
        rows, cols = ((n - 1) * s + e for n, s, e in zip(size, self.stride, self.extent(), strict=True))
        return rows, cols


def window_of(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> Window | None:
    """Window of a convolution or of a pool with a fixed window; None for other calls. shapes: by tensor number."""
    if call.name == "conv2d":
        arguments = call.arguments()
        weight = arguments["weight"]
        shape = shapes[weight.number] if isinstance(weight, Ref) else weight.shape
        return _window((shape[2], shape[3]), arguments, stride=1)
    if call.name in ("max_pool2d", "avg_pool2d"):
        arguments = call.arguments()
        kernel = _pair(arguments["kernel_size"])
        return _window(kernel, arguments, stride=kernel)
    return None


def _window(kernel: Pair, arguments: dict[str, Any], stride: Any) -> Window:
    stride = arguments.get("stride") or stride  # for pools, None and () mean the kernel
    dilation = _pair(arguments.get("dilation", 1))
    padding = arguments.get("padding", 0)
    if padding == "same":
        padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return Window(kernel, _pair(stride), _pair(0 if padding == "valid" else padding), dilation)


def _pair(value: Any) -> Pair:
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])
