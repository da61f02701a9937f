"""Images with the places of their parts: annotated photographs, or drawn animals (section 4.3)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.data.annotations import read_parts
from convscope.data.classnames import utf8_text
from convscope.data.critters.face import PARTS
from convscope.data.critters.source import Truth
from convscope.data.images import Images, SplitName
from convscope.errors import UserError

Choice = int | list[int] | None  # a number of images that show all parts; images of these numbers; all that show them
Flags = NDArray[np.bool_]


class ImagesWithParts(NamedTuple):
    """n images that show all P parts. image: [n, 3, S, S] as the net sees them; pixels: uint8 for display.

    places: [n, P, 2] float32 (x, y) in the crop's pixels, the middle of each part.
    """

    image: Tensor
    pixels: Tensor
    places: Tensor
    names: list[str]
    parts: list[str]


def photographs_with_parts(
    data: Images, csv: str, only: Mapping[str, Any], choice: Choice, seed: int
) -> ImagesWithParts:
    """Images of a csv (data/annotations.py) that show all their parts; numbers count them from 0 in the order of rows.

    Raises UserError: as read_parts; a number out of range; an image of choice that lacks a part; fewer than two images.
    """
    size = data.settings.image_size
    paths, names, points = read_parts(csv, size, only, data.settings.stored)
    if isinstance(choice, list):
        if wrong := [number for number in choice if not 0 <= number < len(paths)]:
            raise UserError(
                f"no image {', '.join(map(str, wrong))} in {csv}; its images are 0 to {len(paths) - 1}, in the order "
                "of its rows"
            )
        paths, points = [paths[number] for number in choice], points[choice]
    parts = [name.replace("_", " ") for name in names]
    visible: Flags = np.all((points >= 0) & (points <= size), axis=2)  # nan, a part that nobody marked, is not
    chosen = _chosen(visible, choice, [utf8_text(path.name) for path in paths], parts, seed)
    image, pixels = data.read([paths[number] for number in chosen])
    return ImagesWithParts(
        image, pixels, torch.from_numpy(points[chosen]), [utf8_text(paths[number].stem) for number in chosen], parts
    )


def critters_with_parts(
    data: Images, truth: Callable[[SplitName, Sequence[int]], Truth], split: SplitName, choice: Choice, seed: int
) -> ImagesWithParts:
    """Critters whose parts are all visible; numbers are indices in the split. Raises UserError: as for photographs.

    Evenly over the species, as far as parts are visible: examines more and more images until enough show all parts.
    """
    count = data.size(split)
    examined: int | list[int] = 2 * choice if isinstance(choice, int) else choice or count
    while True:
        index = data.choose(split, examined, seed)
        visible, middles = _visible_parts(truth(split, index.tolist()), data.settings.image_size)
        if not isinstance(choice, int) or not isinstance(examined, int) or examined >= count:
            break
        if visible.all(1).sum() >= choice:
            break
        examined = 2 * examined
    chosen = _chosen(visible, choice, [str(number) for number in index.tolist()], PARTS, seed)
    index = index[chosen]
    labels, numbers = data.labels(split, index).tolist(), data.names(split, index)
    names = [f"{data.classes[label]} {number}" for label, number in zip(labels, numbers, strict=True)]
    places = torch.from_numpy(middles[chosen])
    return ImagesWithParts(data.images(split, index), data.pixels(split, index), places, names, list(PARTS))


def images_with_places(
    data: Images, places: Mapping[str, NDArray[Any]], split: SplitName, choice: Choice, seed: int
) -> ImagesWithParts:
    """Images that show all parts. places: part -> its middle (x, y) in each image of the split [N, 2], in pixels of the
    net's input; nan where an image does not show it. Raises UserError for other shapes, and as for photographs.
    """
    count, size, points = data.size(split), data.settings.image_size, []
    for part, middles in places.items():
        try:
            numbers = np.asarray(middles, np.float32)
        except (TypeError, ValueError):
            numbers = np.empty(0, np.float32)
        if numbers.shape != (count, 2):
            raise UserError(
                f"parts: {part} has no [{count}, 2] numbers: (x, y) in each of the {count} images of {split}"
            )
        points.append(numbers)
    if not points:
        raise UserError("parts is empty; name one or more, e.g. {'left eye': [[30, 42], ...]}")
    index = data.choose(split, choice, seed) if isinstance(choice, list) else torch.arange(count)
    stacked = np.stack(points, 1)[index.numpy()]
    visible: Flags = np.all((stacked >= 0) & (stacked <= size), axis=2)
    rows = _chosen(visible, choice, [str(number) for number in index.tolist()], list(places), seed)
    index = index[rows]
    names, middle = data.names(split, index), torch.from_numpy(stacked[rows])
    return ImagesWithParts(data.images(split, index), data.pixels(split, index), middle, names, list(places))


def _visible_parts(truth: Truth, size: int) -> tuple[Flags, NDArray[np.float32]]:
    """Which parts are visible [n, P], and their middles [n, P, 2].

    A visible part has its whole box inside the crop, and nothing covers the middle of the box.
    """
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    inside = ((truth.boxes >= 0) & (truth.boxes <= size)).all(2)
    x, y = middle.astype(int).clip(0, size - 1).transpose(2, 0, 1)
    return inside & (truth.masks[np.arange(len(middle))[:, None], y, x] == 1), middle


def _chosen(visible: Flags, choice: Choice, names: Sequence[str], parts: Sequence[str], seed: int) -> list[int]:
    """Positions of the images to take. visible: which parts each image shows [n, P]."""
    whole = np.flatnonzero(visible.all(1))
    if isinstance(choice, list) and len(whole) < len(visible):
        number = int(np.flatnonzero(~visible.all(1))[0])
        missing = ", ".join(part for part, is_visible in zip(parts, visible[number], strict=True) if not is_visible)
        raise UserError(
            f"image {names[number]} does not show its {missing} (hidden, not marked, or outside of the center crop); "
            "leave it out of the list of images"
        )
    if len(whole) < 2:
        raise UserError(
            f"{len(whole)} of {len(visible)} images show all parts ({', '.join(parts)}); two or more are needed, "
            "because it is two images that agree"
        )
    if isinstance(choice, int):
        whole = np.sort(np.random.default_rng(seed).permutation(whole)[:choice])
    return whole.tolist()
