"""What two sets of images share, and what a search for copies can find at all (the paper's check of Caltech, 5.2)."""

import io
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.overlap.compute import correlation as score
from convscope.analyses.overlap.compute.collection import Collection
from convscope.data.decode import fitted
from convscope.engine.progress import track

BLOCK = 2**22  # values of one side that are compared at a time: 4096 images of 32 x 32 in gray
COPY = 96  # pixels of the side of a copy made to see whether it is found


def compared_values(config: OverlapConfig, images: np.ndarray) -> Tensor:
    """uint8 [n, c, S S] of images uint8 [n, S, S, 3]."""
    pixels = torch.from_numpy(np.array(images))  # a copy: the cache cannot be written
    return score.gray(pixels) if config.channels == "gray" else score.colors(pixels)


class Shared(NamedTuple):
    """What N images share with M others. found: addresses from M on stand for mirror images, M + i for that of i.

    flat: of both sets, how many images have one color only; they are compared with nothing.
    """

    found: score.Matches
    flat: tuple[int, int]


class Copies(NamedTuple):
    """Images changed by hand. kind: how. correlation [n]: of each with the image it was made of."""

    kind: str
    correlation: Tensor


def compare_collections(
    first: Collection, second: Collection, plan: OverlapConfig, device: torch.device | str = "cpu"
) -> Shared:
    """Every image of the first with every image of the second, and with its mirror image where the plan says so.

    Memory: two blocks and their products; of the sets themselves a few numbers per image of the first, and the pairs.
    """
    rows = max(1, BLOCK // compared_values(plan, first.reduced[:1]).numel())
    ones, others = range(0, first.total, rows), _turns(second.total, rows, plan.mirrored)
    steps = track([(start, turn) for start in ones for turn in others], f"{first.name} with {second.name}")
    parts, kept = [], dict[int, int]()
    for start, turns in groupby(steps, key=lambda step: step[0]):
        one = _collection_block(first, start, rows, plan, device)
        found = score.nothing(one.index)
        for _, (at, mirrored) in turns:
            other = _collection_block(second, at, rows, plan, device, mirrored)
            kept[at + mirrored * second.total] = len(other.index)
            found = score.merge(found, score.matches(one, other, plan.threshold, found.best))
        parts.append(found)
        if sum(len(part.first) for part in parts) > score.MOST:
            raise score.too_many(plan.threshold)
    whole = score.joined(parts)
    flat = second.total - sum(count for at, count in kept.items() if at < second.total)
    return Shared(whole, (first.total - len(whole.index), flat))


def _turns(count: int, rows: int, mirrored: bool) -> list[tuple[int, bool]]:
    return [(start, turned) for turned in ([False, True] if mirrored else [False]) for start in range(0, count, rows)]


def _collection_block(images: Collection, start: int, rows: int, plan: OverlapConfig, device: torch.device | str,
           mirrored: bool = False) -> score.Block:  # fmt: skip
    held = images.reduced[start : start + rows]
    index = torch.arange(start, start + len(held)) + mirrored * images.total
    return score.image_block(index, compared_values(plan, held[:, :, ::-1] if mirrored else held), device)


def copies(images: Collection, index: Tensor, plan: OverlapConfig, seed: int) -> Iterator[Copies]:
    """Copies of some images of index [n], as they come about in practice, and what is left of the correlation."""
    chosen = np.random.default_rng(seed).permutation(index.numpy())[: plan.copies]
    originals, values = (
        [images.whole(int(number), COPY) for number in chosen],
        compared_values(plan, images.reduced[chosen]),
    )
    kinds: dict[str, Callable[[Image.Image], Image.Image]] = {
        f"saved anew at {COPY} pixels, JPEG quality 30": lambda image: _saved(image, 30),
        f"saved anew at {COPY // 2} pixels, JPEG quality 75": lambda image: _saved(image.reduce(2), 75),
        "2 % cropped from each side": lambda image: _saved(_cropped(image, 0.02), 75),
        "5 % cropped from each side": lambda image: _saved(_cropped(image, 0.05), 75),
    }
    if plan.mirrored:
        kinds["mirrored"] = lambda image: _saved(ImageOps.mirror(image), 75)
    for kind, change in kinds.items():
        made = np.stack([fitted(np.array(change(image)), plan.size) for image in originals])
        found = score.correlations(values, compared_values(plan, made[:, :, ::-1] if kind == "mirrored" else made))
        yield Copies(kind, found[found.isfinite()])


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = (round(share * edge) for edge in image.size)
    return image.crop((x, y, image.width - x, image.height - y))


def _saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)
