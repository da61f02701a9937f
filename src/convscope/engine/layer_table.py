"""A net as a table: the output of each layer, and the receptive field of its units."""

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
    """One layer. maps: number of maps or units. rows, cols: sides of a map, 1 of units. field: None for the image."""

    name: str
    kind: str
    maps: int
    rows: int
    cols: int
    field: Field | None


def layer_summaries(net: nn.Module, image_size: int, also: Collection[str] = ()) -> list[LayerSummary]:
    """Every row of a net of rows; in another net the convolutions, pools and linear layers, from the pixels up.

    also: paths of other modules of such a net to include, such as stages and blocks. A layer that runs several times in
    one pass is described by its last run. Raises UserError as `trace` does.
    """
    net_trace = trace(net, (3, image_size, image_size))
    tensor_fields = follow(net_trace)
    fields = {path: tensor_fields.get(layer.output, IMAGE).field for path, layer in net_trace.layers.items()}
    if isinstance(net, ConvNet):
        kinds, sizes = {kind: name for name, kind in KINDS.items()}, map_sizes(net.rows, image_size)
        return [
            LayerSummary(name, kinds[type(row)], maps, side, side, fields[name])
            for (name, row), (maps, side) in zip(net.rows.items(), sizes.values(), strict=True)
        ]
    axes = axes_of(net_trace)
    dims = {"conv": (4,), "pool": (4,), "full": (2,)}  # of the output: linear layers of single tokens are left out
    summaries = []
    for path, layer in net_trace.layers.items():
        kind = _kind(net.get_submodule(path), path in also)
        shape = maps_shape(net_trace.shapes[layer.output], axes.get(layer.output))
        if kind and len(shape) in dims.get(kind, (2, 4)):
            rows, cols = shape[2:] or (1, 1)
            summaries.append(LayerSummary(path, kind, shape[1], rows, cols, fields[path]))
    return summaries


def layer_table(net: nn.Module, image_size: int, also: Collection[str] = ()) -> list[dict[str, Any]]:
    """One table row for each layer of `layer_summaries`: name, kind, maps, side, field, stride, start.

    side: of the map, in positions. field, stride: of the receptive field, in pixels; field is "image" where it is the
    whole image. start: the first pixel of unit 0's field, negative where the field extends over the border. The field
    of unit i is the `field` pixels from start + i * stride on. Sides that differ are "rows x columns".
    """
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "maps": layer.maps,
            "side": _sides(layer.rows, layer.cols),
            **_field_columns(layer.field),
        }
        for layer in layer_summaries(net, image_size, also)
    ]


def _kind(module: nn.Module, requested: bool) -> str | None:
    """Kind of a layer in the table; None for a module that is not in the table."""
    if isinstance(module, nn.Conv2d):
        return "conv"
    if isinstance(module, nn.Linear):
        return "full"
    if isinstance(module, _POOLS):
        return "pool"
    return ("block" if any(module.children()) else type(module).__name__.lower()) if requested else None


def _field_columns(field: Field | None) -> dict[str, Any]:
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
