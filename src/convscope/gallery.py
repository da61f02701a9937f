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
from convscope.draw.grid import Block, Grid, thumbnails, top9_grid
from convscope.draw.rules import Compared, rules_grid
from convscope.draw.tile import Tile, contrast, signed_tile
from convscope.look.cropped import Watch, patches, project_fields
from convscope.look.deconvnet import Picks
from convscope.look.top9 import Top9
from convscope.nets.axes import axes_of, maps_shape
from convscope.nets.blocks import default_layers
from convscope.nets.trace import trace
from convscope.problem import Problem, meant

SIDE = 56  # pixels of a tile in the grid
THUMBNAIL, COLUMNS = 112, 10  # pixels of a whole image's thumbnail; of them in a row
OUTSIDE = 128  # grey level drawn where a receptive field leaves the image: the same grey as "no signal"


@dataclass(frozen=True)
class Choice:
    """conf/evolution: which layers and maps are shown, at which epochs (None: every one), from which images."""

    layers: list[str] | None
    maps: int | dict[str, list[int]]
    epochs: list[int] | None
    images: Literal["val", "train"]

    def __post_init__(self) -> None:
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
    patches [m, 9, 3, S, S] uint8: the same boxes of the images.
    """

    layer: str
    maps: list[int]
    top: Top9
    projections: torch.Tensor
    patches: torch.Tensor


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
    rule: str = "deconvnet",
    watch: Watch = iter,
) -> View:
    """Projects each shown map's strongest units down to the pixels and cuts the same boxes from their images.

    watch: sees the parts of the work go by, such as a progress bar.
    """
    shown = Top9(*(field[maps] for field in top))  # [m, 9]
    map_of, rank = (shown.image >= 0).nonzero(as_tuple=True)  # [P]
    indices, image_of = shown.image[map_of, rank].unique(return_inverse=True)
    device = next(net.parameters()).device
    picks = Picks(image_of, torch.tensor(maps)[map_of], shown.row[map_of, rank], shown.col[map_of, rank])
    found = images.data.images(images.split, indices).to(device)  # [n, 3, H, W]
    down = project_fields(net, found, layer, picks, rule, watch=watch)
    pixels = images.data.pixels(images.split, indices)  # [n, 3, H, W] uint8
    cut = patches(pixels, picks, down, fill=OUTSIDE)
    projections = torch.zeros(len(maps), 9, 3, *down.values.shape[-2:])
    projections[map_of, rank] = down.values.float().cpu()
    windows = torch.full((len(maps), 9, 3, *cut.shape[-2:]), OUTSIDE, dtype=torch.uint8)
    windows[map_of, rank] = cut
    return View(layer, maps, shown, projections, windows)


def projection_tiles(projections: torch.Tensor, side: int = SIDE) -> list[Tile]:
    """Pictures [<= side, <= side, 3] uint8 of projections [n, 3, S, S].

    Large ones shrink as signed values, before their contrast is set: what is left is shape, not single pixels.
    """
    if projections.shape[-1] > side and len(projections):
        projections = F.interpolate(projections, (side, side), mode="area")
    return [signed_tile(values, contrast(values) or None) for values in projections.numpy()]


def grid(view: View, title: str) -> Packed:
    """Fig. 2: for each map nine projections beside the nine image patches, strongest first.

    Images that do not excite the map are left out; a dead map has none. Its sheet says where each map's tiles begin
    and how many of the nine there are.
    """
    blocks = []
    for position in range(len(view.maps)):
        count = _excited(view, position)
        tiles = projection_tiles(view.projections[position, :count])
        blocks.append(Block(_caption(view, position), tiles, _patch_tiles(view, position, count)))
    return _packed(top9_grid(blocks, title, side=SIDE), view.maps, [len(block.patches) for block in blocks])


def _packed(drawn: Grid, maps: list[int], count: list[int]) -> Packed:
    """The grid with what stands where on it, as index.jsonl holds it."""
    places = {name: list(map(list, getattr(drawn, name))) for name in ("projections", "patches")}
    sheet = {"size": list(drawn.image.size), "tile": drawn.tile, "step": drawn.step, "maps": maps, **places}
    return Packed(drawn.image, sheet | {"count": count})


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
    first = next(iter(views.values()))
    maps = []
    for position in range(len(first.maps)):
        count = min(most, _excited(first, position))
        projections = [projection_tiles(view.projections[position, :count], 72) for view in views.values()]
        maps.append(Compared(_caption(first, position), _patch_tiles(first, position, count), projections))
    return rules_grid(maps, list(views), title, most)


def _excited(view: View, position: int) -> int:
    """How many images excite the map; they are its first."""
    return int(((view.top.image[position] >= 0) & (view.top.score[position] > 0)).sum())


def _caption(view: View, position: int) -> str:
    state = f"{float(view.top.score[position, 0]):.3g}" if _excited(view, position) else "dead"
    return f"{view.layer} map {view.maps[position]} · {state}"


def _patch_tiles(view: View, position: int, count: int) -> list[Tile]:
    return list(view.patches[position, :count].permute(0, 2, 3, 1).numpy())
