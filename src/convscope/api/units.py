"""Units of a net: the images that excite them most, their projections to pixels, their receptive fields."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from convscope.analyses.subject import Subject
from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import SplitPixels, drawn_maps, feature_view, search_top9, with_dependence
from convscope.analyses.visualize.figure import feature_grid, projection_tiles, receptive_fields_plot
from convscope.api.arguments import naming_arguments
from convscope.api.examination import examining, plain_net
from convscope.api.notebook import html_table
from convscope.api.pictures import save_picture, shown_picture, web_image
from convscope.api.subjects import as_subject
from convscope.data.images import SplitName
from convscope.engine.blocks import default_layers
from convscope.engine.deconvnet import Units
from convscope.engine.features import features
from convscope.engine.layers import layer_summaries, layer_table
from convscope.engine.projection import Projection, project_fields
from convscope.engine.top9 import Top9
from convscope.engine.trace import ImageSize, image_shape
from convscope.errors import UserError
from convscope.plots.grid import thumbnails

LARGE = 168  # pixels of a projection in its picture
GRAY = 118  # grey level of the picture in which fields lie where there is no image


class TopImages(dict[str, Top9]):
    """Layer -> the nine images that excite each of its maps most, and the net and split that they are of."""

    def __init__(self, tops: Mapping[str, Top9], subject: Subject, split: SplitName):
        super().__init__(tops)
        self.subject, self.split = subject, split

    def figure(self, layer: str | None = None, maps: int | Sequence[int] = 8) -> Image.Image:
        """The `grid` of a layer, None: the last one."""
        return grid(self.subject, self, layer or list(self)[-1], maps, self.split)

    def save(self, path: str | Path, layer: str | None = None, maps: int | Sequence[int] = 8) -> Path:
        """Saves the grid of a layer as png, jpg, svg or pdf. Raises UserError for another ending."""
        return save_picture(self.figure(layer, maps), Path(path).expanduser())

    def __repr__(self) -> str:
        count = self.subject.data.size(self.split)
        lines = [f"  {layer}: the nine strongest for each of {len(top.score)} maps" for layer, top in self.items()]
        return "\n".join([f"top-9 of {count} {self.split} images", *lines])

    def _repr_html_(self) -> str:
        return f'<pre>{self!r}</pre><img src="{web_image(self.figure(maps=3))}" style="max-width:100%">'


class ProjectedUnits(Projection):
    """Projections of units to pixels: values [P, C, h, w] in boxes that start at the pixels top, left [P]."""

    __slots__ = ()

    def figure(self) -> Image.Image:
        """The projections side by side; gray: no signal."""
        values = self.values.float().cpu()
        side = max(values.shape[2:])
        return thumbnails(projection_tiles(values.expand(-1, 3, -1, -1), min(side, LARGE)), min(len(values), 9), LARGE)

    def save(self, path: str | Path) -> Path:
        """Saves the picture as png, jpg, svg or pdf. Raises UserError for another ending."""
        return save_picture(self.figure(), Path(path).expanduser())

    def __repr__(self) -> str:
        return (
            f"projections of {len(self.values)} units: values {list(self.values.shape)}, top and left [{len(self.top)}]"
        )

    def _repr_html_(self) -> str:
        return f'<img src="{web_image(self.figure())}" style="max-width:100%"><pre>{self!r}</pre>'


class ReceptiveFields(NamedTuple):
    """The layers of a net from the pixels up. rows: of each its name, kind, maps, side of a map in positions, and in
    pixels the field of a unit ("image" for all of it), the stride from one field to the next, and where the first field
    starts (below 0: beyond the border). picture: their fields over an image, a matplotlib figure.
    """

    rows: list[dict[str, Any]]
    picture: Any

    def figure(self) -> Any:
        """The picture, a matplotlib figure."""
        return shown_picture(self.picture)

    def save(self, path: str | Path) -> Path:
        """Saves the picture as png, jpg, svg or pdf. Raises UserError for another ending."""
        return save_picture(self.picture, Path(path).expanduser())

    def __repr__(self) -> str:
        columns = list(self.rows[0]) if self.rows else []
        lines = [columns, *([str(row[column]) for column in columns] for row in self.rows)]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        return f'<img src="{web_image(self.picture)}" style="max-width:100%">{html_table(self.rows)}'


def top9(subject: Subject | nn.Module, images: Any = None, layers: Any = None, split: SplitName = "val") -> TopImages:
    """Layer -> the nine images that excite each of its maps most (section 4, Fig. 2): top9(net, images, ["layer4"]).

    Of a Subject top9(subject, ["conv3"], "train"). images: as of `subject`. layers: None: those drawn by default. Each
    Top9 has score, image, row and col [C, 9] of C maps, on the CPU; .figure(layer) draws them. Raises UserError for an
    unknown layer.
    """
    if isinstance(subject, Subject) and _are_names(images):  # the order of arguments of a Subject
        images, layers, split = None, images, split if layers is None else layers
    opened = as_subject(subject, images)
    with naming_arguments(layers=layers), examining(opened.net):
        chosen = [layers] if isinstance(layers, str) else layers or default_layers(opened.net, opened.data.image_shape)
        if not _are_names(chosen):
            raise UserError(f"layers={layers!r} is no list of names; pass e.g. layers=['layer1', 'layer4']")
        return TopImages(search_top9(opened.net, opened.data, split, chosen), opened, split)


def _are_names(value: Any) -> bool:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    return is_sequence and all(isinstance(name, str) for name in value)


def grid(
    subject: Subject | nn.Module,
    tops: Mapping[str, Top9],
    layer: str,
    maps: int | Sequence[int] = 8,
    split: SplitName = "val",
) -> Image.Image:
    """Nine projections beside nine image patches for each map (Fig. 2): grid(net, top9(net, images), "layer4").

    maps: how many, or their numbers. Raises UserError for a layer or map that is not in `tops`, and for a net whose
    `tops` come from elsewhere than top9.
    """
    if layer not in tops:
        raise UserError(f"no record of {layer}; there are those of {', '.join(tops)}: top9(net, [{layer!r}]) makes it")
    if not isinstance(subject, Subject):
        if not isinstance(tops, TopImages):
            raise UserError("tops do not say their images; pass what top9(net, images) returns, or a Subject")
        subject, split = tops.subject, tops.split
    shown: Literal["val", "train"] = "train" if split == "train" else "val"
    chosen = FeatureConfig([layer], maps if isinstance(maps, int) else {layer: list(maps)}, None, shown)
    with naming_arguments(maps=maps), examining(subject.net):
        numbers = drawn_maps(chosen, layer, len(tops[layer].score), seed=0)
        images = SplitPixels(subject.data, split)
        view = feature_view(subject.net, images, layer, tops[layer], numbers)
        view = with_dependence(subject.net, images, view)
    return feature_grid(view, f"{layer}: projections beside the image patches").image


def project(
    subject: Subject | nn.Module, images: Tensor, layer: str, map_: int, rule: str = "deconvnet"
) -> ProjectedUnits:
    """The strongest unit of a map in each of the images [N, C, H, W], projected to its receptive field (section 2.1).

    images: as the net sees them, e.g. subject.data.images("val", [3, 7]). values [N, C, S, S]; top, left: where the
    field begins in the image. rule: deconvnet, guided or gradient. Raises UserError for an unknown layer, map or rule.
    """
    net = subject.net if isinstance(subject, Subject) else plain_net(subject)
    if not isinstance(images, Tensor) or images.dim() != 4:
        shape = f" {list(images.shape)}" if isinstance(images, Tensor) else ""
        raise UserError(f"images is a {type(images).__name__}{shape}; pass [N, C, H, W], for one image image[None]")
    images = images.to(next(net.parameters()).device).float()
    with naming_arguments(layer=layer, rule=rule), examining(net):
        activations = features(net, images, [layer]).layers[layer]
        if not 0 <= map_ < activations.shape[1]:
            raise UserError(f"{layer} has maps 0 to {activations.shape[1] - 1}, not {map_}")
        position = activations[:, map_].flatten(1).argmax(1).cpu()
        columns = activations.shape[3] if activations.dim() == 4 else 1
        maps = torch.full((len(images),), map_)
        units = Units(torch.arange(len(images)), maps, position // columns, position % columns)
        return ProjectedUnits(*project_fields(net, images, layer, units, rule))


def receptive_fields(net: Subject | nn.Module, images: Any = None, layers: Iterable[str] = ()) -> ReceptiveFields:
    """How much of the image one unit of each layer sees, and how far apart units are, in pixels (Fig. 3).

    images: as of `subject`, or the size of the input: pixels of a square side in color, or (C, H, W). layers: further
    modules to list beside convolutions, pools and linear layers, such as blocks. Raises UserError for a size that the
    net cannot take.
    """
    is_size = isinstance(images, int) or (isinstance(images, tuple) and all(isinstance(side, int) for side in images))
    if is_size and not isinstance(net, Subject):
        return _fields(plain_net(net), images, None, list(layers))
    opened = as_subject(net, images)
    pixels = opened.data.pixels("val" if "val" not in opened.data.missing else "train", [0])[0]
    return _fields(opened.net, opened.data.image_shape, pixels.permute(1, 2, 0).numpy(), list(layers))


def _fields(net: nn.Module, size: ImageSize, image: Any, also: list[str]) -> ReceptiveFields:
    if image is None:
        image = np.full((*image_shape(size)[1:], 3), GRAY, np.uint8)
    with naming_arguments(images=size), examining(net):
        rows = layer_table(net, size, also)
        return ReceptiveFields(rows, receptive_fields_plot(image, layer_summaries(net, size, also)))
