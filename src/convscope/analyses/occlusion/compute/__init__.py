"""Occlusion sensitivity (Zeiler & Fergus, section 4.2, Fig. 7): a gray square slides over an image, and for every
position the net says how probable the target class is, which class is most probable, and how active a feature map is.

The paper states neither the size of the square, nor its stride, nor its gray; the values here are ours.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.deconvnet import Units
from convscope.engine.features import features
from convscope.engine.projection import project_fields
from convscope.engine.recomputation.counted_work import OccluderGrid, worthwhile_part
from convscope.engine.recomputation.local_part import local_part
from convscope.engine.recomputation.recompute import ChosenMap, recompute
from convscope.engine.regions import recut, whole_map
from convscope.engine.trace import trace
from convscope.errors import UserError


class Occluder(NamedTuple):
    """The gray square. size, stride: pixels. value: the net's input where the square lies; 0 is the mean image."""

    size: int
    stride: int
    value: float = 0.0


def default_occluder(image_size: int) -> Occluder:
    """A square of a seventh of the image, moved by a quarter of that (ours): 32 and 8 pixels at 224."""
    size = max(1, round(image_size / 7))
    return Occluder(size, max(1, size // 4))


def check_occluder(occluder: Occluder, image_size: int) -> None:
    """Raises UserError for a square that does not fit or does not move. image_size: the shorter side in pixels."""
    if not 1 <= occluder.size <= image_size:
        raise UserError(
            f"a square of {occluder.size} pixels does not fit on an image of {image_size}; "
            f"set occlude.size from 1 to {image_size}, e.g. occlude.size={default_occluder(image_size).size}"
        )
    if occluder.stride < 1:
        raise UserError(
            f"a square cannot move by {occluder.stride} pixels; set occlude.stride to 1 or more, "
            f"e.g. occlude.stride={max(1, occluder.size // 4)}"
        )


def occluder_edges(image_size: int, occluder: Occluder) -> list[int]:
    """Top (or left) edges of the square at its positions, always inside the image.

    Where the stride does not divide the rest of the image, a last position lies flush with the far border (ours), so
    that every pixel between the first and the last position's far edge can be covered (stride at most the size).
    """
    last = image_size - occluder.size
    edges = list(range(0, last + 1, occluder.stride))
    return edges if edges[-1] == last else [*edges, last]


class Occluded(NamedTuple):
    """One value for each position of the square, [rows, cols] each, on the CPU.

    probability: of the target class (softmax). probable: the most probable class, int64. activity: spatial sum of the
    watched map. row, col: where that map is strongest, int64. incremental: whether only what the square can change was
    computed again; why: the reason where it was not, "" otherwise. Floating values have the net's type, float32 as a
    rule.
    """

    probability: Tensor
    probable: Tensor
    activity: Tensor
    row: Tensor
    col: Tensor
    incremental: bool
    why: str

    def __repr__(self) -> str:
        (rows, cols), low, high = self.probability.shape, self.probability.min(), self.probability.max()
        return f"Occluded at {rows} x {cols} places: probability {float(low):.3g} to {float(high):.3g}"


def strongest_map(net: nn.Module, image: Tensor, layer: str) -> int:
    """The map of the layer that holds the strongest unit for the uncovered image [3, H, W] (the choice of Fig. 7 b)."""
    maps = features(net, image[None], [layer]).layers[layer]
    _check_maps(layer, tuple(maps.shape))
    return int(maps.flatten(2).amax(2).argmax()) if maps.dim() == 4 else int(maps.argmax())


def occluded_copies(image: Tensor, occluder: Occluder, tops: Tensor, lefts: Tensor) -> Tensor:
    """A copy of the image [3, H, W] for each position [n] of the square: [n, 3, H, W], channels last."""
    under = []
    for starts, length in ((tops, image.shape[1]), (lefts, image.shape[2])):
        inset = torch.arange(length, device=image.device) - starts.to(image.device)[:, None]
        under.append((inset >= 0) & (inset < occluder.size))
    shape = (len(tops), *image.shape)
    images = torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=torch.channels_last)
    return images.copy_(image).masked_fill_(under[0][:, None, :, None] & under[1][:, None, None, :], occluder.value)


def occlude(
    net: nn.Module, image: Tensor, layer: str, map_: int, target: int, occluder: Occluder, batch: int = 32
) -> Occluded:
    """The net's answers for the image [3, H, W] with the square at every position; map_: the layer's map to watch.

    Computes only what the square can change, as far up the net as that is less work than a full pass; where it nowhere
    is, `why` says so. batch: about how many covered images go together. Raises UserError for a square that does not
    fit, an unknown layer, map or class, and a layer that runs more than once or holds no maps. The net is left as it
    was.
    """
    check_occluder(occluder, min(image.shape[1:]))
    pass_ = trace(net, tuple(image.shape))
    watched = ChosenMap(layer, pass_.layer(layer).output, map_)
    _check_maps(layer, maps_shape(pass_.shapes[watched.number], axes_of(pass_).get(watched.number)), map_)
    image = image.to(next(net.parameters()).device)
    rows, cols = (occluder_edges(size, occluder) for size in image.shape[1:])
    grid = OccluderGrid(rows, cols, occluder.size, occluder.value)
    part = worthwhile_part(local_part(pass_), grid)
    if isinstance(part, str):
        return occlude_fully(net, image, layer, map_, target, occluder, batch)._replace(why=part)
    outcomes = recompute(net, part, image, grid, watched, batch)
    parts = [(outcome.places, *_answers(outcome.logits, outcome.maps, target)) for outcome in outcomes]
    order, *values = (torch.cat(value) for value in zip(*parts, strict=True))
    grids = [value[order.argsort()].view(len(rows), len(cols)) for value in values]
    return Occluded._make([*grids, True, ""])


def occlude_fully(
    net: nn.Module, image: Tensor, layer: str, map_: int, target: int, occluder: Occluder, batch: int = 32
) -> Occluded:
    """The same as `occlude`, by passing every covered image through the whole net, whatever the net."""
    check_occluder(occluder, min(image.shape[1:]))
    pass_ = trace(net, tuple(image.shape))
    number = pass_.layer(layer).output
    _check_maps(layer, maps_shape(pass_.shapes[number], axes_of(pass_).get(number)), map_)
    image = image.to(next(net.parameters()).device)
    rows, cols, tops, lefts = _positions(image, occluder)
    parts = []
    for top, left in zip(tops.split(batch), lefts.split(batch), strict=True):
        copies = occluded_copies(image, occluder, top, left)
        answers = features(net, copies, [layer], lambda maps: maps[:, map_].clone())
        parts.append(_answers(answers.logits, answers.layers[layer], target))
    grids = [torch.cat(value).view(rows, cols) for value in zip(*parts, strict=True)]
    return Occluded._make([*grids, False, ""])


def _positions(image: Tensor, occluder: Occluder) -> tuple[int, int, Tensor, Tensor]:
    """Numbers of rows and columns of positions, and each position's top and left edge, row by row."""
    rows, cols = (torch.tensor(occluder_edges(size, occluder)) for size in image.shape[1:])
    return len(rows), len(cols), rows.repeat_interleave(len(cols)), cols.repeat(len(rows))


def _check_maps(layer: str, shape: tuple[int, ...], map_: int = 0) -> None:
    """Raises UserError for a layer without maps, or with fewer of them. shape: of the layer's output."""
    if len(shape) not in (2, 4):
        sizes = " x ".join(map(str, shape[1:]))
        raise UserError(f"layer {layer} puts out {sizes}, which are no maps; choose a convolution or a full row")
    if not 0 <= map_ < shape[1]:
        raise UserError(f"layer {layer} has no map {map_}; its maps are 0 to {shape[1] - 1}")


def _answers(logits: Tensor, maps: Tensor, target: int) -> tuple[Tensor, ...]:
    """The first fields of Occluded for n images: logits [n, K], maps [n, h, w] or, of a linear layer, [n]."""
    if logits.dim() != 2 or not 0 <= target < logits.shape[1]:
        sizes = " x ".join(map(str, logits.shape[1:]))
        raise UserError(f"no class {target} in what the net puts out for an image, {sizes}; classes count from 0")
    strongest = _strongest_units(maps)
    values = logits.softmax(1)[:, target], logits.argmax(1), maps.flatten(1).sum(1) if maps.dim() > 1 else maps
    return tuple(value.cpu() for value in (*values, *strongest))


def _strongest_units(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column [n] of the strongest unit of maps [n, h, w]; 0, 0 for n single units [n]."""
    if maps.dim() == 1:
        return torch.zeros_like(maps, dtype=torch.int64), torch.zeros_like(maps, dtype=torch.int64)
    place = maps.flatten(1).argmax(1)
    return place // maps.shape[2], place % maps.shape[2]


def projection_change(
    net: nn.Module,
    image: Tensor,
    layer: str,
    map_: int,
    occluder: Occluder,
    occluded: Occluded,
    rule: str = "deconvnet",
    batch: int = 32,
) -> Tensor:
    """How much the projection by a rule of the map's strongest unit changes, [rows, cols]: |p - p0| / |p0|.

    p0, p: the projections of that unit with the value 1, in image coordinates, for the uncovered image and for a
    covered one. 1 where the covered image leaves the map without activity, so that nothing is projected; nan where the
    uncovered image does. Ours: the paper shows projections only. occluded: of `occlude` with the same arguments.
    """
    image = image.to(next(net.parameters()).device)
    _, _, tops, lefts = _positions(image, occluder)
    maps = features(net, image[None], [layer], lambda value: value[:, map_].clone()).layers[layer]
    if not maps.any():
        return torch.full_like(occluded.activity, torch.nan)
    before = _projected(net, image[None], layer, map_, *_strongest_units(maps.cpu()), rule)
    changes = []
    for part in torch.arange(len(tops)).split(batch):
        images = occluded_copies(image, occluder, tops[part], lefts[part])
        after = _projected(net, images, layer, map_, occluded.row.flatten()[part], occluded.col.flatten()[part], rule)
        after *= occluded.activity.flatten()[part].ne(0).to(after)[:, None, None, None]
        changes.append(((after - before).flatten(1).norm(dim=1) / before.norm()).cpu())
    return torch.cat(changes).reshape(occluded.row.shape)


def _projected(net: nn.Module, images: Tensor, layer: str, map_: int, row: Tensor, col: Tensor, rule: str) -> Tensor:
    """One unit for each image, in image coordinates: [n, 3, H, W]."""
    units = Units(torch.arange(len(images)), torch.full_like(row, map_), row.clone(), col.clone())
    projection = project_fields(net, images, layer, units, rule)
    image = whole_map(len(images), (images.shape[2], images.shape[3]))
    return recut(projection.values, projection.boxes, image)
