"""A net as a table: what each layer puts out, and how much of the image one of its units sees."""

from typing import Any

from torch import nn

from convscope.nets.build import ConvNet
from convscope.nets.layers import KINDS, map_sizes
from convscope.nets.receptive import Field, fields


def anatomy(net: nn.Module, image_size: int) -> list[dict[str, Any]]:
    """One row per layer of a row net (per convolution or pool of another): name, kind, maps, side, field, stride.

    side: of the map, positions. field and stride: of the receptive field, pixels; "image" where a unit sees all of it.
    """
    seen = fields(net, image_size)
    if isinstance(net, ConvNet):
        kinds = {kind: name for name, kind in KINDS.items()}
        sizes = map_sizes(net.rows, image_size)
        return [
            {
                "name": name,
                "kind": kinds[type(row)],
                "maps": sizes[name][0],
                "side": sizes[name][1],
                **_view(seen[name]),
            }
            for name, row in net.rows.items()
        ]
    shown = [(name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d) and name in seen]
    return [
        {"name": name, "kind": "conv", "maps": layer.out_channels, "side": "", **_view(seen[name])}
        for name, layer in shown
    ]


def _view(field: Field | None) -> dict[str, Any]:
    if field is None:
        return {"field": "image", "stride": ""}
    rows, cols = field.rows, field.cols
    if rows[:2] == cols[:2]:
        return {"field": rows.size, "stride": rows.stride}
    return {"field": f"{rows.size} x {cols.size}", "stride": f"{rows.stride} x {cols.stride}"}
