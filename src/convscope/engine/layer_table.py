"""A net as a table: what each layer puts out, and how much of the image one of its units sees."""

from collections.abc import Collection
from typing import Any, NamedTuple

from torch import nn

from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.receptive_fields import IMAGE, Field, follow
from convscope.engine.trace import trace
from convscope.models.build import ConvNet
from convscope.models.rows import KINDS, map_sizes

_POOLS = nn.MaxPool2d | nn.AvgPool2d | nn.LPPool2d | nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d


class LayerSummary(NamedTuple):
    """maps: or units. rows, cols: positions of a map, 1 and 1 of units. field: what a unit sees; None: the image."""

    name: str
    kind: str
    maps: int
    rows: int
    cols: int
    field: Field | None


def layer_summaries(net: nn.Module, image_size: int, also: Collection[str] = ()) -> list[LayerSummary]:
    """The rows of a row net; of another net, from the pixels up, its convolutions, pools and full layers.

    also: paths of other modules of such a net, stages and blocks, whatever they are. A layer that runs several times in
    one pass is told of as in its last run.
    """
    pass_ = trace(net, (3, image_size, image_size))
    seen = follow(pass_)
    fields = {path: seen.get(layer.output, IMAGE).field for path, layer in pass_.layers.items()}
    if isinstance(net, ConvNet):
        kinds, sizes = {kind: name for name, kind in KINDS.items()}, map_sizes(net.rows, image_size)
        return [
            LayerSummary(name, kinds[type(row)], maps, side, side, fields[name])
            for (name, row), (maps, side) in zip(net.rows.items(), sizes.values(), strict=True)
        ]
    axes = axes_of(pass_)
    dims = {"conv": (4,), "pool": (4,), "full": (2,)}  # of what each puts out; no linear layers of single tokens
    found = []
    for path, layer in pass_.layers.items():
        kind = _kind(net.get_submodule(path), path in also)
        shape = maps_shape(pass_.shapes[layer.output], axes.get(layer.output))
        if kind and len(shape) in dims.get(kind, (2, 4)):
            rows, cols = shape[2:] or (1, 1)
            found.append(LayerSummary(path, kind, shape[1], rows, cols, fields[path]))
    return found


def layer_table(net: nn.Module, image_size: int, also: Collection[str] = ()) -> list[dict[str, Any]]:
    """One table row for each of `layers`: name, kind, maps, side, field, stride, start.

    side: of the map, positions. field and stride: of the receptive field, pixels; "image" where a unit sees all of it.
    start: the pixel where the field of unit 0 begins, negative where that hangs over the border; unit i sees `field`
    pixels from start + i * stride on. Sides that differ are told as "rows x columns".
    """
    return [
        {"name": one.name, "kind": one.kind, "maps": one.maps, "side": _sides(one.rows, one.cols), **_view(one.field)}
        for one in layer_summaries(net, image_size, also)
    ]


def _kind(module: nn.Module, asked_for: bool) -> str | None:
    if isinstance(module, nn.Conv2d):
        return "conv"
    if isinstance(module, nn.Linear):
        return "full"
    if isinstance(module, _POOLS):
        return "pool"
    return ("block" if any(module.children()) else type(module).__name__.lower()) if asked_for else None


def _view(field: Field | None) -> dict[str, Any]:
    if field is None:
        return {"field": "image", "stride": "", "start": ""}
    rows, cols = field
    return {
        "field": _sides(rows.size, cols.size),
        "stride": _sides(rows.stride, cols.stride),
        "start": _sides(rows.start, cols.start),
    }


def _sides(rows: int, cols: int) -> int | str:
    return rows if rows == cols else f"{rows} x {cols}"
