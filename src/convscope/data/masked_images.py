"""Images with the masks of their parts: drawn ones know them; those of photographs come from a folder or a csv.

A csv has boxes (path,x0,y0,x1,y1 and perhaps part) or points (path,part,x,y or path,<part>_x,<part>_y); a point stands
for a disc around it. data/mask_folder.py reads folders of masks.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.data.annotations import POINTS, SIDES, read_boxes, read_listing, read_parts
from convscope.data.classnames import utf8_text
from convscope.data.images import Images, SplitName
from convscope.data.module import ImageData
from convscope.data.part_masks import Masks, PartMasks
from convscope.data.sources import Pixels, chosen, evenly
from convscope.errors import UserError

Choice = int | Sequence[int]  # so many images, evenly over their classes; or images of these numbers
RADIUS = 1 / 14  # of the disc around a point, over the side of the net's input (ours)


class MaskedImages(NamedTuple):
    """N images with the masks of P parts. name: of the image with a number. parts: their names.

    read: numbers to images [n, C, H, W] as the net sees them, and pixels [n, 3, H, W] uint8. draw: numbers to masks
    [n, P, H, W]. note: words on images that are not among them, or "".
    """

    names: list[str]
    parts: list[str]
    read: Callable[[list[int]], tuple[Tensor, Tensor]]
    draw: Callable[[list[int]], Masks]
    note: str = ""


def known_masks(data: Images, split: SplitName, index: Sequence[int] | Tensor) -> PartMasks | None:
    """The masks of the parts of these images of a split; None where the data does not know them."""
    originals = data.originals(split) if isinstance(data, ImageData) else None
    if not isinstance(originals, Pixels) or originals.parts is None:
        return None
    settings = data.settings
    parts = originals.parts.of(torch.as_tensor(index).numpy())
    return PartMasks(parts.names, torch.from_numpy(parts.center_crops(settings.stored_size, settings.image_size)))


def images_that_know_parts(data: Images, split: SplitName, choice: Choice, seed: int) -> MaskedImages | None:
    """Images of a split whose data knows the masks of their parts; None for other data. Raises UserError for no image
    of a number.
    """
    first = known_masks(data, split, [0])
    if first is None:
        return None
    index = data.choose(split, choice, seed)

    def draw(numbers: list[int]) -> Masks:
        masks = known_masks(data, split, index[numbers])
        assert masks is not None, "it is known for the first image"
        return masks.masks.numpy()

    return MaskedImages(data.names(split, index), first.names, partial(_read, data, split, index), draw)


def images_of_arrays(
    data: Images, masks: Mapping[str, Any], split: SplitName, choice: Choice, seed: int
) -> MaskedImages:
    """Images of a split. masks: part -> [N, H, W], where each image of the split shows it, in the net's input.

    Raises UserError for masks of another shape, and for none.
    """
    shape, parts = (data.size(split), *data.image_shape[1:]), dict[str, Any]()
    for part, values in masks.items():
        parts[str(part)] = np.asarray(values)
        if parts[str(part)].shape != shape or parts[str(part)].dtype.kind not in "biuf":
            words = " x ".join(map(str, parts[str(part)].shape)) or "no numbers"
            raise UserError(f"masks: {part} is {words}; needed is {' x '.join(map(str, shape))}, a mask for each image")
    if not parts:
        raise UserError("masks is empty; name one or more parts, e.g. {'eyes': [N, H, W] of True and False}")
    index = data.choose(split, choice, seed)

    def draw(numbers: list[int]) -> Masks:
        return np.stack([values[index[numbers].numpy()] != 0 for values in parts.values()], 1)

    return MaskedImages(data.names(split, index), list(parts), partial(_read, data, split, index), draw)


def _read(data: Images, split: SplitName, index: Tensor, numbers: list[int]) -> tuple[Tensor, Tensor]:
    return data.images(split, index[numbers]), data.pixels(split, index[numbers])


def _has_points(columns: Sequence[str]) -> bool:
    of_parts = [name for name in columns if name.endswith("_x") and f"{name[:-1]}y" in columns]
    return bool(of_parts) or {"part", "x", "y"} <= set(columns)


def images_of_csv(data: Images, csv: str, choice: Choice, seed: int, radius: float | None = None) -> MaskedImages:
    """Photographs of a csv of boxes or points. radius: of the disc around a point in pixels; None: RADIUS of the side.

    Numbers count the images from 0 in the order of the rows. Raises UserError as `read_boxes` and `read_parts`.
    """
    needed = f"path,{','.join(SIDES)} for boxes, {POINTS} for points"
    settings, columns = data.settings, read_listing(Path(csv).expanduser(), expected=f"a first line {needed}").columns
    size, pixels = settings.image_size, np.arange(settings.image_size) + 0.5
    shapes: dict[Path, list[tuple[str, NDArray[np.bool_]]]] = {}
    if set(SIDES) <= {column.casefold() for column in columns}:
        boxes = read_boxes(csv, size, settings.stored)
        for path, part, (x0, y0, x1, y1) in zip(boxes.paths, boxes.parts, boxes.boxes, strict=True):
            inside = ((pixels >= y0) & (pixels < y1))[:, None] & (pixels >= x0) & (pixels < x1)
            shapes.setdefault(path, []).append((part, inside))
    elif not _has_points(columns):
        raise UserError(f"{csv} has neither boxes nor points; its columns: {', '.join(columns)}; needed: {needed}")
    else:
        paths, names, points = read_parts(csv, size, {}, settings.stored)
        reach = size * RADIUS if radius is None else radius
        for path, places in zip(paths, points, strict=True):
            squares = np.square(pixels[None, :, None] - places[:, 1, None, None]) + np.square(
                pixels - places[:, 0, None, None]
            )  # [P, H, W], nan for a part that is not marked
            shapes[path] = list(zip(names, squares <= reach**2, strict=True))
    parts = list(dict.fromkeys(part for of_image in shapes.values() for part, _ in of_image))
    paths = chosen_paths(list(shapes), choice, seed, csv)

    def draw(numbers: list[int]) -> Masks:
        masks = np.zeros((len(numbers), len(parts), size, size), np.bool_)
        for place, number in enumerate(numbers):
            for part, inside in shapes[paths[number]]:
                masks[place, parts.index(part)] |= inside
        return masks

    return photographs(data, paths, parts, draw)


def photographs(
    data: Images, paths: Sequence[Path], parts: list[str], draw: Callable[[list[int]], Masks]
) -> MaskedImages:
    """The images of these files; underscores in the names of parts become spaces."""

    def read(numbers: list[int]) -> tuple[Tensor, Tensor]:
        return data.read([paths[number] for number in numbers])

    parts = [part.replace("_", " ") for part in parts]
    return MaskedImages([utf8_text(path.name) for path in paths], parts, read, draw)


def chosen_paths(paths: list[Path], choice: Choice, seed: int, where: str) -> list[Path]:
    """A number of the paths, evenly over their folders, or those of these numbers."""
    folders = sorted({path.parent for path in paths})
    labels = np.array([folders.index(path.parent) for path in paths])
    numbers = evenly(labels, choice, seed) if isinstance(choice, int) else chosen(labels, choice, seed, where)
    return [paths[number] for number in numbers.tolist()]
