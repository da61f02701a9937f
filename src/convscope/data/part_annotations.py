"""Images whose parts are known: photographs that somebody marked, or drawn animals (section 4.3)."""

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
from convscope.data.module import ImageData, SplitName
from convscope.errors import UserError

Wanted = int | list[int] | None  # so many images that show all their parts; those with these numbers; all that do
Flags = NDArray[np.bool_]


class ImagesWithParts(NamedTuple):
    """n images that show all P parts. image [n, 3, S, S] as the net sees them, pixels uint8 for display; places
    [n, P, 2] (x, y) float32 in the crop's pixels: the middle of each part."""

    image: Tensor
    pixels: Tensor
    places: Tensor
    names: list[str]
    parts: list[str]


def photographs_with_parts(
    data: ImageData, csv: str, only: Mapping[str, Any], wanted: Wanted, seed: int
) -> ImagesWithParts:
    """Images of a csv (data/annotations.py); numbers count its images from 0, in the order of its rows.

    UserError: as read_parts; a number that is not there; one that does not show all parts; fewer than two that do.
    """
    size = data.settings.image_size
    paths, names, points = read_parts(csv, size, only, data.settings.stored)
    if isinstance(wanted, list):
        if wrong := [number for number in wanted if not 0 <= number < len(paths)]:
            raise UserError(
                f"no image {', '.join(map(str, wrong))} in {csv}; its images are 0 to {len(paths) - 1}, in the order "
                "of its rows"
            )
        paths, points = [paths[number] for number in wanted], points[wanted]
    parts = [name.replace("_", " ") for name in names]
    shown: Flags = np.all((points >= 0) & (points <= size), axis=2)  # nan, a part that nobody marked, is not
    chosen = _chosen(shown, wanted, [utf8_text(path.name) for path in paths], parts, seed)
    image, pixels = data.read([paths[number] for number in chosen])
    return ImagesWithParts(
        image, pixels, torch.from_numpy(points[chosen]), [utf8_text(paths[number].stem) for number in chosen], parts
    )


def critters_with_parts(
    data: ImageData, truth: Callable[[SplitName, Sequence[int]], Truth], split: SplitName, wanted: Wanted, seed: int
) -> ImagesWithParts:
    """Critters whose parts are all seen. UserError: as for photographs; numbers are addresses in the split.

    Evenly over the species, as far as their parts are seen: more and more are looked at until enough show all.
    """
    count = data.size(split)
    asked: int | list[int] = 2 * wanted if isinstance(wanted, int) else wanted or count
    while True:
        index = data.choose(split, asked, seed)
        shown, middles = _seen(truth(split, index.tolist()), data.settings.image_size)
        if not isinstance(wanted, int) or not isinstance(asked, int) or asked >= count:
            break
        if shown.all(1).sum() >= wanted:
            break
        asked = 2 * asked
    chosen = _chosen(shown, wanted, [str(number) for number in index.tolist()], PARTS, seed)
    index = index[chosen]
    labels, numbers = data.labels(split, index).tolist(), data.names(split, index)
    names = [f"{data.classes[label]} {number}" for label, number in zip(labels, numbers, strict=True)]
    places = torch.from_numpy(middles[chosen])
    return ImagesWithParts(data.images(split, index), data.pixels(split, index), places, names, list(PARTS))


def _seen(truth: Truth, size: int) -> tuple[Flags, NDArray[np.float32]]:
    """Which parts [n, P] are inside the crop with their whole box and not behind something at its middle; the middles
    [n, P, 2]."""
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    inside = ((truth.boxes >= 0) & (truth.boxes <= size)).all(2)
    x, y = middle.astype(int).clip(0, size - 1).transpose(2, 0, 1)
    return inside & (truth.masks[np.arange(len(middle))[:, None], y, x] == 1), middle


def _chosen(shown: Flags, wanted: Wanted, names: Sequence[str], parts: Sequence[str], seed: int) -> list[int]:
    """Positions of the images to take, given which parts each shows [n, P]."""
    whole = np.flatnonzero(shown.all(1))
    if isinstance(wanted, list) and len(whole) < len(shown):
        number = int(np.flatnonzero(~shown.all(1))[0])
        lacking = ", ".join(part for part, there in zip(parts, shown[number], strict=True) if not there)
        raise UserError(
            f"image {names[number]} does not show its {lacking} (hidden, not marked, or outside of the center crop); "
            "leave it out of the list of images"
        )
    if len(whole) < 2:
        raise UserError(
            f"{len(whole)} of {len(shown)} images show all parts ({', '.join(parts)}); two or more are needed, because "
            "it is two images that agree"
        )
    if isinstance(wanted, int):
        whole = np.sort(np.random.default_rng(seed).permutation(whole)[:wanted])
    return whole.tolist()
