"""What excites the maps of a layer, as pictures: a top-9 record becomes projections, image patches, a grid (Fig. 2).

Ties `look` (what happens inside the net) to `data` (the images) and `draw` (how it looks on paper); used after every
epoch of a training run and by job=visualize.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from convscope.data.module import ImageData
from convscope.draw.grid import Block, thumbnails, top9_grid
from convscope.draw.rules import Compared, rules_grid
from convscope.draw.tile import GRAY, Tile, chroma_share, contrast, muted, resized, signed_tile
from convscope.look.cropped import Watch, patches, project_fields
from convscope.look.cut import cut
from convscope.look.deconvnet import Picks
from convscope.look.energy import energy_squares
from convscope.look.rules import AUTO, RuleChoice, check_rule_or_auto, choose_rule, measured_maps
from convscope.look.top9 import Top9
from convscope.nets.axes import axes_of, maps_shape
from convscope.nets.blocks import default_layers
from convscope.nets.trace import trace
from convscope.problem import Problem, meant

SIDE = 96  # pixels of a tile in the grid
THUMBNAIL, COLUMNS = 112, 10  # pixels of a whole image's thumbnail; of them in a row
OUTSIDE = 128  # grey level drawn where a receptive field leaves the image: the same grey as "no signal"


@dataclass(frozen=True)
class Choice:
    """conf/evolution: which layers and maps are shown, at which epochs (None: every one), from which images.

    rule: how they are projected; runs of version 0.1, which do not say it, go on with the deconvnet. tile: pixels.
    """

    layers: list[str] | None
    maps: int | dict[str, list[int]]
    epochs: list[int] | None
    images: Literal["val", "train"]
    rule: str = "deconvnet"
    tile: int = SIDE

    def __post_init__(self) -> None:
        check_rule_or_auto(self.rule)
        if not 16 <= self.tile <= 512:
            raise Problem(f"evolution.tile={self.tile} is no size for a tile; possible: 16 to 512 pixels")
        if self.images not in ("val", "train"):
            raise Problem(f"evolution.images={self.images} is unknown; possible: val, train")
        if any(not isinstance(layer, str) for layer in self.layers or ()) and not isinstance(self.layers, str):
            raise Problem(f"evolution.layers={self.layers} is no list of layers; e.g. evolution.layers=[conv1,conv5]")
        if self.epochs is not None and not _whole(self.epochs):
            raise Problem(f"evolution.epochs={self.epochs} is no list of epochs; e.g. evolution.epochs=[1,5,10]")
        if isinstance(self.maps, Mapping) and not all(_whole(numbers) for numbers in self.maps.values()):
            raise Problem(f"evolution.maps={self.maps} names no maps; e.g. evolution.maps={{conv3: [0, 5]}}")
        if not isinstance(self.maps, Mapping) and (type(self.maps) is not int or self.maps < 1):
            raise Problem(f"evolution.maps={self.maps} shows nothing; take a number, or name them: {{conv3: [0, 5]}}")
        if isinstance(self.layers, str) or self.layers == []:
            raise Problem(f"evolution.layers={self.layers} is no list of layers; e.g. evolution.layers=[conv1,conv5]")

    def at(self, epoch: int) -> bool:
        """Whether this epoch (counted from 1) is shown."""
        return self.epochs is None or epoch in self.epochs

    def chosen_layers(self, net: nn.Module, image_size: int) -> list[str]:
        """The layers in the net's order; Problem lists the layers where a name is unknown."""
        wanted = list(self.maps) if isinstance(self.maps, dict) and self.layers is None else self.layers
        if wanted is None:
            return default_layers(net, image_size)
        if isinstance(self.maps, Mapping):  # told before training, not after its first epoch
            self._check_maps(net, image_size)
        known = [name for name, _ in net.named_modules() if name]
        if unknown := [name for name in wanted if name not in known]:
            near = meant(unknown[0], known)
            raise Problem(f"no layer {', '.join(unknown)} in this net{near}; its layers: {', '.join(known)}")
        return [name for name in known if name in wanted]

    def _check_maps(self, net: nn.Module, image_size: int) -> None:
        pass_ = trace(net, (3, image_size, image_size))
        assert isinstance(self.maps, Mapping)
        for layer in self.maps:
            number = pass_.layer(layer).output
            self.chosen_maps(layer, maps_shape(pass_.shapes[number], axes_of(pass_).get(number))[1], seed=0)

    def chosen_maps(self, layer: str, count: int, seed: int) -> list[int]:
        """The maps of a layer of `count` maps: those named, or a random choice that depends on seed and layer alone."""
        if isinstance(self.maps, Mapping):
            named = list(self.maps.get(layer, []))
            if wrong := [number for number in named if not 0 <= number < count]:
                raise Problem(f"evolution.maps: {layer} has maps 0 to {count - 1}, not {', '.join(map(str, wrong))}")
            return named
        order = np.random.default_rng([seed, *layer.encode()]).permutation(count)
        return sorted(order[: self.maps].tolist())


def _whole(numbers: object) -> bool:
    return isinstance(numbers, list | tuple) and all(type(number) is int for number in numbers)


class Packed(NamedTuple):
    """A picture of many tiles, and its `sheet`: what stands where on it, in its pixels (record.Picture)."""

    image: Image.Image
    sheet: dict[str, Any]


class View(NamedTuple):
    """Some maps of one layer and what excites them: `rank` 0 is the strongest image.

    top: the record of these maps [m, 9]. projections [m, 9, 3, S, S] float32, zero where there is no image.
    patches [m, 9, 3, S, S] uint8: the same boxes of the images. rule: how they were projected.
    """

    layer: str
    maps: list[int]
    top: Top9
    projections: torch.Tensor
    patches: torch.Tensor
    rule: RuleChoice


@dataclass(frozen=True)
class Images:
    """The images that a top-9 record's indices speak of."""

    data: ImageData
    split: Literal["val", "train"]


def view(
    net: nn.Module,
    images: Images,
    layer: str,
    top: Top9,
    maps: list[int],
    rule: str | RuleChoice = AUTO,
    watch: Watch = iter,
) -> View:
    """Projects each shown map's strongest units down to the pixels and cuts the same boxes from their images.

    rule: auto measures some maps of the layer first. watch: sees the parts of the work go by, such as a progress bar.
    """
    choice = rule if isinstance(rule, RuleChoice) else rule_of(net, images, layer, top, rule)
    shown = Top9(*(field[maps] for field in top))  # [m, 9]
    map_of, rank = (shown.image >= 0).nonzero(as_tuple=True)  # [P]
    picks, indices = _picks(shown, maps, (map_of, rank))
    pictures = images.data.images(images.split, indices).to(next(net.parameters()).device)  # [n, 3, H, W]
    down = project_fields(net, pictures, layer, picks, choice.rule, watch=watch)
    pixels = images.data.pixels(images.split, indices)  # [n, 3, H, W] uint8
    boxes = patches(pixels, picks, down, fill=OUTSIDE)
    projections = torch.zeros(len(maps), 9, 3, *down.values.shape[-2:])
    projections[map_of, rank] = down.values.float().cpu()
    windows = torch.full((len(maps), 9, 3, *boxes.shape[-2:]), OUTSIDE, dtype=torch.uint8)
    windows[map_of, rank] = boxes
    return View(layer, maps, shown, projections, windows, choice)


def rule_of(net: nn.Module, images: Images, layer: str, top: Top9, rule: str = AUTO, watch: Watch = iter) -> RuleChoice:
    """The rule that was asked for, or with auto the one that suits the layer, by its record top [C, 9].

    The deconvnet, unmeasured, where no map is excited by two images, as in a layer that is dead.
    """
    maps = measured_maps(top) if rule == AUTO else []
    if not maps:
        return RuleChoice("deconvnet" if rule == AUTO else rule)
    shown = Top9(*(field[maps] for field in top))
    picks, indices = _picks(shown, maps, ((shown.image >= 0) & (shown.score > 0)).nonzero(as_tuple=True))
    pictures = images.data.images(images.split, indices).to(next(net.parameters()).device)
    return choose_rule(net, pictures, layer, picks, watch)


def _picks(shown: Top9, maps: list[int], places: tuple[torch.Tensor, ...]) -> tuple[Picks, torch.Tensor]:
    """The units at these places of the record [m, 9] of some maps, and the indices of the images they count in."""
    indices, image_of = shown.image[places].unique(return_inverse=True)
    return Picks(image_of, torch.tensor(maps)[places[0]], shown.row[places], shown.col[places]), indices


class Tiles(NamedTuple):
    """Pictures of one map's strongest images, [<= side, <= side, 3] uint8 each: projections, and the same patches.

    cut: pixels of the squares' side, and the row and column of the field at which each begins.
    """

    projections: list[Tile]
    patches: list[Tile]
    cut: tuple[int, list[tuple[int, int]]]


def map_tiles(view: View, position: int, side: int = SIDE, beside: Sequence[View] = ()) -> Tiles:
    """The tiles of the images that excite the map at `position`, cut to where their projections have their energy.

    beside: views of the same record by other rules, whose energy is to be seen too, so that the cuts are the same.
    """
    count = excited_count(view, position)
    if not count:
        return Tiles([], [], (0, []))
    values = [each.projections[position, :count] for each in (view, *beside)]
    values = [F.normalize(each.flatten(1), dim=1).view_as(each) for each in values] if beside else values
    squares, size = energy_squares(torch.cat(values, 1) if beside else values[0])
    projections = cut(view.projections[position, :count], torch.arange(count), squares, (size, size))
    windows = cut(view.patches[position, :count], torch.arange(count), squares, (size, size), OUTSIDE)
    corners = list(zip(squares.top.tolist(), squares.left.tolist(), strict=True))
    tiles = projection_tiles(projections, side), list(windows.permute(0, 2, 3, 1).numpy())
    return Tiles(*tiles, (size, corners))


def projection_tiles(projections: torch.Tensor, side: int = SIDE) -> list[Tile]:
    """Pictures [<= side, <= side, 3] uint8 of projections [n, 3, S, S] of one map.

    Large ones shrink as signed values, before their contrast is set: what is left is shape, not single pixels.
    """
    if projections.shape[-1] > side and len(projections):
        projections = F.interpolate(projections, (side, side), mode="area")
    share = chroma_share(projections.numpy())
    drawn = [muted(values, share) for values in projections.numpy()]
    return [signed_tile(values, contrast(values) or None) for values in drawn]


def grid(view: View, title: str, side: int = SIDE) -> Packed:
    """Fig. 2: for each map nine projections beside the nine image patches, strongest first; side: pixels of a tile.

    Images that do not excite the map are left out; a dead map has none. Its sheet says where each map's tiles begin,
    how many of the nine there are, by which rule they were projected and what part of their fields they show.
    """
    tiles = [map_tiles(view, position, side) for position in range(len(view.maps))]
    captions = [_caption(view, position) for position in range(len(view.maps))]
    blocks = [Block(caption, each.projections, each.patches) for caption, each in zip(captions, tiles, strict=True)]
    drawn = top9_grid(blocks, title, side=side, note=f"left: projections by {view.rule.words}")
    places = {name: list(map(list, getattr(drawn, name))) for name in ("projections", "patches")}
    sheet = {"size": list(drawn.image.size), "tile": drawn.tile, "step": drawn.step, "maps": view.maps, **places}
    sheet |= {"count": [len(each.patches) for each in tiles], "rule": view.rule.words}
    cuts = [[each.cut[0], [list(corner) for corner in each.cut[1]]] for each in tiles]
    return Packed(drawn.image, sheet | {"cuts": cuts})


def strongest_tiles(drawn: Packed, side: int) -> list[Tile]:
    """For each map of a grid the projection of its strongest image, [side, side, 3]; mid gray for a dead map."""
    sheet, tiles = drawn.sheet, []
    for (x, y), count in zip(sheet["projections"], sheet["count"], strict=True):
        tile = np.asarray(drawn.image.crop((x, y, x + sheet["tile"], y + sheet["tile"])))
        tiles.append(np.asarray(resized(tile, side)) if count else np.full((side, side, 3), GRAY, np.uint8))
    return tiles


def excited(view: View) -> list[int]:
    """The images that the view's tiles come from, each once."""
    return sorted(view.top.image[(view.top.image >= 0) & (view.top.score > 0)].unique().tolist())


def thumbnail_sheets(images: Images, indices: Sequence[int]) -> Iterator[Packed]:
    """The whole images of these indices, 100 on a sheet in their order; a sheet says each one's class and name."""
    for first in range(0, len(indices), 100):
        part = list(indices[first : first + 100])
        tiles = images.data.pixels(images.split, part).permute(0, 2, 3, 1).numpy()
        about = {"images": part, "labels": images.data.labels(images.split, part).tolist()}
        about["names"] = images.data.names(images.split, part)
        sheet = {"tile": THUMBNAIL, "columns": COLUMNS, **about}
        yield Packed(thumbnails(list(tiles), COLUMNS, THUMBNAIL), sheet)


def rules_sheet(views: Mapping[str, View], title: str, most: int = 3) -> Image.Image:
    """The `most` strongest patches of each map beside their projections by each rule. views: by rule, of one record."""
    every = list(views.values())
    maps = []
    for position in range(len(every[0].maps)):
        tiles = [map_tiles(view, position, SIDE, every) for view in every]
        projections = [each.projections[:most] for each in tiles]
        maps.append(Compared(_caption(every[0], position), tiles[0].patches[:most], projections))
    return rules_grid(maps, list(views), title, most, SIDE)


def excited_count(view: View, position: int) -> int:
    """How many images excite the map; they are its first."""
    return int(((view.top.image[position] >= 0) & (view.top.score[position] > 0)).sum())


def _caption(view: View, position: int) -> str:
    state = f"{float(view.top.score[position, 0]):.3g}" if excited_count(view, position) else "dead"
    return f"{view.layer} map {view.maps[position]} · {state}"
