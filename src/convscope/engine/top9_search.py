"""The search for the nine strongest images of each feature map, by hooks on the forward passes of a net."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from convscope.engine.activations import BoundedActivation, CallCounter, bounded_activation, kind_of
from convscope.engine.axes import Axes, axes_of, maps_of, maps_shape
from convscope.engine.calls import Window, window_of
from convscope.engine.hooks import on_output
from convscope.engine.operations import MAX_POOL
from convscope.engine.top9 import Top9, empty, entered
from convscope.engine.trace import Trace, trace, unknown_layer_message
from convscope.errors import UserError


class Search:
    """A search over the net's forward passes in eval mode, while `with Search(net, layers) as search:` is open.

    search.watch(indices) before each pass gives the images of the pass; an image of index -1 is left out. search.top is
    the record by layer; reading it waits for the device of the net, nothing else here does. Raises UserError for a
    layer that the net does not have, and for a layer without maps.
    """

    def __init__(self, net: nn.Module, layers: Iterable[str]):
        self.net, self.layers = net, list(layers)
        paths = [path for path, _ in net.named_modules() if path]
        if unknown := [layer for layer in self.layers if layer not in paths]:
            raise UserError(unknown_layer_message(unknown[0], paths))
        self._records: dict[str, Top9] = {}  # on the device of their maps
        self.indices = torch.empty(0, dtype=torch.int64)
        self.hooks: list[RemovableHandle] = []
        self.before: _BoundWatcher | None = None  # during a pass of a net with bounded activations
        self.start_pass: Callable[[nn.Module, Any], None] | None = None  # of such a net

    def __enter__(self) -> "Search":
        self.hooks = [self.net.register_forward_pre_hook(self._first_pass)]
        return self

    def __exit__(self, *_: object) -> None:
        while self.hooks:
            self.hooks.pop().remove()
        self._end_pass()

    def watch(self, indices: Tensor) -> None:
        """Sets the indices [N] of the images of the next pass."""
        self.indices = indices

    @property
    def top(self) -> dict[str, Top9]:
        """The record of each layer that has had a pass."""
        return {layer: Top9(*(field.cpu() for field in top.all_fields)) for layer, top in self._records.items()}

    def _first_pass(self, net: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Puts the hooks on the layers; a hook for the first pass, which gives the size of the images."""
        if not net.training:
            self.__exit__()
            self._watch_layers(tuple(args[0].shape[1:]))
            if self.start_pass is not None:
                self.start_pass(net, args)

    def _watch_layers(self, image_shape: tuple[int, ...]) -> None:
        """Puts the hooks on the layers. image_shape: [C, H, W] of the images of all passes."""
        net, net_trace = self.net, trace(self.net, image_shape)
        tensor_axes, ends = axes_of(net_trace), dict[str, tuple[BoundedActivation, Axes | None]]()
        for layer in self.layers:
            number = net_trace.layer(layer).output
            _check_shape(layer, maps_shape(net_trace.shapes[number], tensor_axes.get(number)))
            end = bounded_activation(net_trace, layer)
            if end is not None:
                ends[layer] = end, tensor_axes.get(number)
            else:
                path, hook = self._reader(layer, net_trace, tensor_axes.get(number))
                self.hooks.append(on_output(net.get_submodule(path), hook))
        if ends:
            self._read_before(ends)

    def _reader(
        self, layer: str, net_trace: Trace, axes: Axes | None
    ) -> tuple[str, Callable[[nn.Module, Any, Tensor], None]]:
        """Path of the module whose output gives the scores, and the hook on it.

        A max pool right above the layer has the same maxima in fewer values, if its windows cover every position.
        """
        pooled = _pool_above(self.net, layer, net_trace)

        def read(module: nn.Module, args: Any, output: Tensor) -> None:
            if not module.training:
                self._take(layer, maps_of(output, axes))

        def read_pooled(module: nn.Module, args: Any, output: Tensor) -> None:
            if not module.training:
                self._take(layer, args[0], (output, pooled[1]))  # type: ignore[index]

        return (pooled[0], read_pooled) if pooled else (layer, read)

    def _read_before(self, ends: dict[str, tuple[BoundedActivation, Axes | None]]) -> None:
        """Reads the inputs of these layers' bounded activations in the passes that follow."""

        def start(net: nn.Module, args: Any) -> None:
            if not net.training:
                self.before = _BoundWatcher(ends, self._take)
                self.before.__enter__()

        def stop(net: nn.Module, args: Any, output: Any) -> None:
            self._end_pass()

        self.hooks.append(self.net.register_forward_pre_hook(start))
        self.hooks.append(self.net.register_forward_hook(stop, always_call=True))
        self.start_pass = start

    def _end_pass(self) -> None:
        """Ends a pass; called at the end of the search too, because a keyboard interrupt skips torch's hooks."""
        if self.before is not None:
            self.before.__exit__(None, None, None)
            self.before = None

    def _take(
        self,
        layer: str,
        maps: Tensor,
        pooled: tuple[Tensor, Window] | None = None,
        end: BoundedActivation | None = None,
    ) -> None:
        """Enters the strongest positions of the images of one pass.

        pooled: output and window of a max pool above the maps. end: the activation that makes scores of the maps.
        """
        if len(self.indices) != len(maps):
            raise ValueError(f"a pass over {len(maps)} images after watch() of {len(self.indices)}")
        maps = (maps if maps.dim() == 4 else maps[:, :, None, None]).detach()
        best, row = _row_maxima(pooled[0].detach() if pooled else maps).max(1)  # [N, C]
        row, col = _place(maps, row, pooled[1] if pooled else None)
        score = best if end is None else end.call.again(best.clone())
        image = self.indices.to(best.device, non_blocking=True)[:, None].expand_as(best)
        images = Top9(*(field.T for field in (score.float(), image, row, col, best.float())))
        top = self._records.get(layer) or empty(best.shape[1], best.device)
        self._records[layer] = entered(top, images)


class _BoundWatcher(TorchFunctionMode):
    """Calls `take` with the inputs of the layers' bounded activations. ends: activation and axes, by layer."""

    def __init__(self, ends: Mapping[str, tuple[BoundedActivation, Axes | None]], take: Callable[..., None]):
        super().__init__()
        self.ends, self.take, self.counter = ends, take, CallCounter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (kind := kind_of(func, args)) is not None:
            place = self.counter.place(kind)
            for layer, (end, axes) in self.ends.items():
                if (end.kind, end.place) == (kind, place):
                    self.take(layer, maps_of(_below_bound(args[0], end), axes), end=end)
        return func(*args, **(kwargs or {}))


def _below_bound(x: Tensor, end: BoundedActivation) -> Tensor:
    """The layer's output without its upper bound, for an input x of its activation; x itself where nothing changes."""
    x = x if end.bounds.low is None else x.clamp(min=end.bounds.low)
    for call in end.after:
        x = call.again(x)
    return x


def _check_shape(layer: str, shape: tuple[int, ...]) -> None:
    """Raises UserError for a layer with neither maps nor units. shape: of its output for one image."""
    if shape[0] != 1 or len(shape) not in (2, 4):
        problem = f"layer {layer} puts out {' x '.join(map(str, shape[1 if shape[0] == 1 else 0 :]))} for each image"
        raise UserError(f"{problem}, neither maps nor units; choose a convolution")


def _row_maxima(maps: Tensor) -> Tensor:
    """Maximum of each row of each map, [N, h, C]; reads memory in the fastest order."""
    if maps.is_contiguous(memory_format=torch.channels_last):
        return maps.permute(0, 2, 3, 1).amax(2)
    return maps.amax(3).transpose(1, 2)


def _place(maps: Tensor, row: Tensor, pool: Window | None) -> tuple[Tensor, Tensor]:
    """Row and column [N, C] of the first maximum of each map [N, C, h, w] in reading order.

    row: the first row that holds the maximum; with a pool, a row of the pooled map, whose window covers that first row.
    Places of all maps are computed, because a choice of those that enter the record would wait for the device.
    """
    (images, channels, height, width), device = maps.shape, maps.device
    rows = row[:, None]  # [N, k, C]
    if pool is not None:
        rows = rows * pool.stride[0] - pool.padding[0] + torch.arange(pool.kernel[0], device=device)[:, None]
        rows = rows.where(rows > 0, 0).where(rows < height, height - 1)
    image, map_ = torch.arange(images, device=device)[:, None, None], torch.arange(channels, device=device)
    candidates = maps.permute(0, 2, 3, 1)[image, rows, :, map_].transpose(1, 2)  # [N, C, k, w]
    flat = candidates.flatten(2).max(2).indices
    return rows.gather(1, flat[:, None] // width)[:, 0], flat % width


def _pool_above(net: nn.Module, layer: str, net_trace: Trace) -> tuple[str, Window] | None:
    """Path and window of a max pool module above the layer that covers all of the layer's maps; None without one."""
    output = net_trace.layer(layer).output
    calls = {call.outputs[0]: call for call in net_trace.calls if call.kind == MAX_POOL and call.inputs == (output,)}
    for path, above in net_trace.layers.items():
        if above.runs == 1 and above.output in calls and isinstance(net.get_submodule(path), nn.MaxPool2d):
            window = window_of(calls[above.output], net_trace.shapes)
            if window and _covers(window, net_trace.shapes[output], net_trace.shapes[above.output]):
                return path, window
    return None


def _covers(pool: Window, below: tuple[int, ...], above: tuple[int, ...]) -> bool:
    """Whether every position of a map of shape `below` is in a window of the pool."""
    ends = ((n - 1) * s - p + k for n, s, p, k in zip(above[2:], pool.stride, pool.padding, pool.kernel, strict=True))
    close = all(s <= k for s, k in zip(pool.stride, pool.kernel, strict=True)) and pool.dilation == (1, 1)
    return close and all(end >= size for end, size in zip(ends, below[2:], strict=True))
