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
from convscope.engine.top9 import Top9, empty, merge
from convscope.engine.trace import Trace, trace, unknown_layer_message
from convscope.errors import UserError


class Search:
    """A search over the net's forward passes in eval mode, while `with Search(net, layers) as search:` is open.

    search.watch(indices) before each pass gives the images of the pass; an image of index -1 is left out. search.top is
    the record by layer. Raises UserError for a layer that the net does not have, and for a layer without maps.
    """

    def __init__(self, net: nn.Module, layers: Iterable[str]):
        self.net, self.layers = net, list(layers)
        paths = [path for path, _ in net.named_modules() if path]
        if unknown := [layer for layer in self.layers if layer not in paths]:
            raise UserError(unknown_layer_message(unknown[0], paths))
        self.top: dict[str, Top9] = {}
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
        self.indices = indices.cpu()

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
        """Enters the images of one pass that are strong enough.

        pooled: output and window of a max pool above the maps. end: the activation that makes scores of the maps.
        """
        if len(self.indices) != len(maps):
            raise ValueError(f"a pass over {len(maps)} images after watch() of {len(self.indices)}")
        maps = maps if maps.dim() == 4 else maps[:, :, None, None]
        rows = _row_maxima(pooled[0] if pooled else maps)
        best = rows.amax(1).T  # [C, N]
        scores, best = (value.float().cpu() for value in (best if end is None else end.call.again(best.clone()), best))
        top = self.top.setdefault(layer, empty(len(scores)))
        ninth, last = top.before[:, -1:], top.image[:, -1:]
        enters = ((best > ninth) | ((best == ninth) & (self.indices < last))) & (self.indices >= 0)
        map_, image = (place.to(maps.device) for place in enters.nonzero(as_tuple=True))  # of E entries
        if len(map_):
            row = rows[image, :, map_].argmax(1)
            row, col = (place.cpu() for place in _place(maps, (image, map_), row, pooled[1] if pooled else None))
            self.top[layer] = _entered(top, (scores, best), (enters, self.indices), (row, col))


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
    maps = maps.detach()
    if maps.is_contiguous(memory_format=torch.channels_last):
        return maps.permute(0, 2, 3, 1).amax(2)
    return maps.amax(3).transpose(1, 2)


def _place(maps: Tensor, units: tuple[Tensor, Tensor], row: Tensor, pool: Window | None) -> tuple[Tensor, Tensor]:
    """Row and column [E] of the first maximum of maps[units] in reading order.

    row: the first row that holds the maximum; with a pool, a row of the pooled map, whose window covers that first row.
    """
    image, map_ = units
    rows = row[:, None]  # [E, k]
    if pool is not None:
        within = torch.arange(pool.kernel[0], device=maps.device)
        rows = (rows * pool.stride[0] - pool.padding[0] + within).clamp(0, maps.shape[2] - 1)
    flat = maps.detach()[image[:, None], map_[:, None], rows].flatten(1).argmax(1)
    return rows.gather(1, flat[:, None] // maps.shape[3])[:, 0], flat % maps.shape[3]


def _entered(
    top: Top9, values: tuple[Tensor, Tensor], entrants: tuple[Tensor, Tensor], positions: tuple[Tensor, Tensor]
) -> Top9:
    """The record with the new entries.

    values: scores, and the values by which they are ordered, [C, N] each. entrants: the values that enter, bool [C, N],
    and the indices [N] of the images. positions: rows and columns [E] of the E new entries.
    """
    enters, indices = entrants
    changed = enters.any(1).nonzero()[:, 0]
    image, row, col = (torch.full(enters.shape, -1) for _ in range(3))
    image[enters] = indices.expand_as(enters)[enters]
    row[enters], col[enters] = positions
    score, before = (value.masked_fill(~enters, -torch.inf)[changed] for value in values)
    entries = Top9(score, image[changed], row[changed], col[changed], before)
    merged = merge(Top9(*(field[changed] for field in (*top, top.before))), entries)
    pairs = zip((*top, top.before), (*merged, merged.before), strict=True)
    return Top9(*(old.index_put((changed,), new) for old, new in pairs))


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
