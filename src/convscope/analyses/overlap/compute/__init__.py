"""What two sets of images share, and which altered copies the search finds (the paper's check of Caltech, 5.2)."""

import io
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.overlap.compute import correlation
from convscope.analyses.overlap.compute.collection import Collection
from convscope.data.decode import fitted
from convscope.engine.progress import track

BLOCK = 2**22  # values of one side that are compared at a time: 4096 images of 32 x 32 in gray
COPY_SIDE = 96  # pixels of the smallest side of an altered copy


class Comparison(NamedTuple):
    """What N images share with M others. matches: index M + i stands for the mirror image of image i.

    one_color: how many images of each set have one color only; they are compared with nothing.
    """

    matches: correlation.Matches
    one_color: tuple[int, int]


class AlteredCopies(NamedTuple):
    """Copies of n images, altered in one way (kind). correlation [n]: of each copy with its original."""

    kind: str
    correlation: Tensor


def compare_collections(
    first: Collection, second: Collection, plan: OverlapConfig, device: torch.device | str = "cpu"
) -> Comparison:
    """Every image of the first with every image of the second, and with its mirror image where the plan says so.

    Memory: two blocks and their products, a few numbers per image of the first set, and the pairs.
    """
    rows = max(1, BLOCK // channel_values(first.reduced[:1], plan).numel())
    starts, second_starts = range(0, first.total, rows), _block_starts(second.total, rows, plan.mirrored)
    steps = track(
        [(start, second_start) for start in starts for second_start in second_starts],
        f"{first.name} with {second.name}",
    )
    parts, block_sizes = [], dict[int, int]()  # images of more than one color, by index of the block's first image
    for start, group in groupby(steps, key=lambda step: step[0]):
        block = _collection_block(first, start, rows, plan, device)
        matches = correlation.no_matches(block.index)
        for _, (second_start, mirrored) in group:
            second_block = _collection_block(second, second_start, rows, plan, device, mirrored)
            block_sizes[second_start + mirrored * second.total] = len(second_block.index)
            in_block = correlation.find_matches(block, second_block, plan.threshold, matches.best)
            matches = correlation.merge_matches(matches, in_block)
        parts.append(matches)
        if sum(len(part.first) for part in parts) > correlation.MAX_PAIRS:
            raise correlation.too_many_pairs(plan.threshold)
    whole = correlation.join_matches(parts)
    compared = sum(size for start, size in block_sizes.items() if start < second.total)
    return Comparison(whole, (first.total - len(whole.index), second.total - compared))


def channel_values(images: np.ndarray, plan: OverlapConfig) -> Tensor:
    """Values uint8 [n, c, S S] of images uint8 [n, S, S, 3], gray or in color."""
    pixels = torch.from_numpy(np.array(images))  # a copy: the cache cannot be written
    return correlation.gray_values(pixels) if plan.channels == "gray" else correlation.color_values(pixels)


def _block_starts(count: int, rows: int, mirrored: bool) -> list[tuple[int, bool]]:
    """(index of a block's first image, whether the block is mirrored) of all blocks."""
    return [(start, turned) for turned in ([False, True] if mirrored else [False]) for start in range(0, count, rows)]


def _collection_block(
    images: Collection, start: int, rows: int, plan: OverlapConfig, device: torch.device | str, mirrored: bool = False
) -> correlation.ImageBlock:
    reduced = images.reduced[start : start + rows]
    index = torch.arange(start, start + len(reduced)) + mirrored * images.total
    values = channel_values(reduced[:, :, ::-1] if mirrored else reduced, plan)
    return correlation.image_block(index, values, device)


def altered_copies(images: Collection, index: Tensor, plan: OverlapConfig, seed: int) -> Iterator[AlteredCopies]:
    """Yields correlations of some images of index [n] with copies altered as copies are in practice, kind by kind."""
    chosen = np.random.default_rng(seed).permutation(index.numpy())[: plan.copies]
    originals = [images.whole(int(number), COPY_SIDE) for number in chosen]
    values = channel_values(images.reduced[chosen], plan)
    kinds: dict[str, Callable[[Image.Image], Image.Image]] = {
        f"saved anew at {COPY_SIDE} pixels, JPEG quality 30": lambda image: _jpeg_copy(image, 30),
        f"saved anew at {COPY_SIDE // 2} pixels, JPEG quality 75": lambda image: _jpeg_copy(image.reduce(2), 75),
        "2 % cropped from each side": lambda image: _jpeg_copy(_cropped(image, 0.02), 75),
        "5 % cropped from each side": lambda image: _jpeg_copy(_cropped(image, 0.05), 75),
    }
    if plan.mirrored:
        kinds["mirrored"] = lambda image: _jpeg_copy(ImageOps.mirror(image), 75)
    for kind, alter in kinds.items():
        copies = np.stack([fitted(np.array(alter(image)), plan.size) for image in originals])
        copy_values = channel_values(copies[:, :, ::-1] if kind == "mirrored" else copies, plan)
        with_original = correlation.correlations(values, copy_values)
        yield AlteredCopies(kind, with_original[with_original.isfinite()])


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = (round(share * edge) for edge in image.size)
    return image.crop((x, y, image.width - x, image.height - y))


def _jpeg_copy(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)
