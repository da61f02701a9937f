"""Convolutions and pools as what they share: a window that slides over the map below."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from convscope.engine.calls import Call, Ref

Pair = tuple[int, int]  # rows, columns


class Window(NamedTuple):
    """kernel, stride, padding (above and left), dilation: rows and columns."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def extent(self) -> Pair:
        """Pixels from one end of the window to the other, holes of the dilation included."""
        rows, cols = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, cols

    def below(self, size: Pair) -> Pair:
        """Size of the area below that an area of this size above sees."""
        rows, cols = ((n - 1) * s + e for n, s, e in zip(size, self.stride, self.extent(), strict=True))
        return rows, cols


def window_of(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> Window | None:
    """The window of a convolution or a pool with fixed windows, None for every other call. shapes: by tensor number."""
    if call.name == "conv2d":
        given = call.arguments()
        weight = given["weight"]
        shape = shapes[weight.number] if isinstance(weight, Ref) else weight.shape
        return _window((shape[2], shape[3]), given, stride=1)
    if call.name in ("max_pool2d", "avg_pool2d"):
        given = call.arguments()
        kernel = _pair(given["kernel_size"])
        return _window(kernel, given, stride=kernel)
    return None


def _window(kernel: Pair, given: dict[str, Any], stride: Any) -> Window:
    stride = given.get("stride") or stride  # pools: None and () mean the kernel
    dilation = _pair(given.get("dilation", 1))
    padding = given.get("padding", 0)
    if padding == "same":
        padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return Window(kernel, _pair(stride), _pair(0 if padding == "valid" else padding), dilation)


def _pair(value: Any) -> Pair:
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])
