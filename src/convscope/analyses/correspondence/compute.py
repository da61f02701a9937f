"""Covers the same part of several images: do a layer's features change alike (section 4.3, Table 1)?

An image's change of features is epsilon = x - x~: those of the image minus those of the image with a part covered. Two
images agree on a feature where the sign of its change (-1, 0 or 1) is the same. The normalized Hamming distance of the
signs is small where the net relates the part of one image to the same part of the other.

The paper states neither the size nor the place nor the value of the masks: here they are squares of one size, wholly
inside the image. Most features of a low layer do not see the square, and unchanged counts as agreement in the paper's
measure, so that images agree better the less a square changes. Hence two more measures (ours): among the features that
changed in at least one of the two images, and among those that changed in both, where chance is a half.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.correspondence.about import CorrespondenceConfig
from convscope.analyses.subject import Subject
from convscope.data.module import SplitName
from convscope.data.part_annotations import ImagesWithParts, critters_with_parts, photographs_with_parts
from convscope.data.shared_passes import all_results
from convscope.engine.features import features
from convscope.errors import UserError

MEAN, RANDOM, TOGETHER = "mean of the parts", "random", "same place"  # groups of masks, beside each part's
MEASURES = {  # properties of Pairs, and what they count; the first is the paper's
    "distance": "of all features (the paper's)",
    "distance_of_changed": "of those changed in either image",
    "opposite": "of those changed in both (chance: 0.5)",
}

BATCH = 16  # images in one pass
CACHED = 2  # batches whose uncovered features stay in memory; those of further ones are computed anew for each mask
ROUNDING = 1e-6  # of an image's largest feature: less is no change, only another order of additions
COLUMNS = 1 << 16  # features compared at a time, so that their float32 counts are exact and small


class Pairs(NamedTuple):
    """Comparison of the signs of each two of N images.

    features: their number. differ [..., N, N] int64: of how many the signs differ; changed [..., N, N]: how many
    changed in at least one of the two images.
    """

    features: int
    differ: NDArray[np.int64]
    changed: NDArray[np.int64]

    @property
    def distance(self) -> NDArray[np.float64]:
        """[..., N, N], 0..1: the paper's normalized Hamming distance, of all features."""
        return self.differ / self.features

    @property
    def distance_of_changed(self) -> NDArray[np.float64]:
        """[..., N, N], 0..1: of the features that changed in either image (ours); 0 where none did."""
        return self.differ / np.maximum(self.changed, 1)

    @property
    def opposite(self) -> NDArray[np.float64]:
        """[..., N, N], 0..1: of the features that changed in both images, those with opposite signs (ours).

        By chance a half, whatever squares cover and however many features see them; a half too where none changed.
        """
        single = np.diagonal(self.changed, axis1=-2, axis2=-1)  # [..., N]: changed in each image
        both = single[..., :, None] + single[..., None, :] - self.changed
        count = self.differ - (self.changed - both)  # changed in one alone is a difference, but nothing opposite
        return np.where(both > 0, count / np.maximum(both, 1), 0.5)

    @property
    def share_changed(self) -> NDArray[np.float64]:
        """[..., N]: the share of its features that changed in each image."""
        return np.diagonal(self.changed, axis1=-2, axis2=-1) / self.features


def boxes_around(places: Tensor, side: int, image_size: int) -> Tensor:
    """Boxes [N, 4] int64 x0 y0 x1 y1 (x1, y1 not included) around places [N, 2] (x, y), moved to lie inside the image.

    A place at the border is covered by as large a square as any other. Raises UserError for a side that does not fit,
    and for a place that is unknown (nan) or outside the image.
    """
    check_side(side, image_size)
    outside = ~((places >= 0) & (places <= image_size)).all(1)  # nan is outside too
    if outside.any():
        number = int(outside.nonzero()[0])
        x, y = places[number].tolist()
        raise UserError(
            f"the part of image {number} at {x:g}, {y:g} is outside the {image_size} x {image_size} pixels that the "
            "net sees; leave that image out"
        )
    corner = (places - side / 2).round().long().clamp(0, image_size - side)
    return torch.cat([corner, corner + side], 1)


def random_boxes(shape: Sequence[int], side: int, image_size: int, seed: int) -> Tensor:
    """Boxes [*shape, 4] as of `boxes_around`, each somewhere in the image, every place as probable as any other."""
    check_side(side, image_size)
    draw = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, image_size - side + 1, (*shape, 2), generator=draw)
    return torch.cat([corner, corner + side], -1)


def check_side(side: int, image_size: int) -> None:
    """Raises UserError for a square that covers nothing, or more than the image."""
    if not 1 <= side <= image_size:
        raise UserError(f"a mask of {side} pixels in images of {image_size}; it is 1 to {image_size}")


def cover_parts(images: Tensor, boxes: Tensor, value: float) -> Tensor:
    """A copy of images [N, 3, H, W] with a box [N, 4] of each set to value."""
    covered = images.clone()
    for image, (x0, y0, x1, y1) in zip(covered, boxes.tolist(), strict=True):
        image[:, y0:y1, x0:x1] = value
    return covered


def sign_changes(plain: Tensor, covered: Tensor) -> Tensor:
    """[N, F] int8: the sign, -1, 0 or 1, of plain - covered, both [N, ...]; 0 too for a change by rounding alone."""
    plain, covered = plain.flatten(1), covered.flatten(1)
    change = plain - covered
    rounding = ROUNDING * plain.abs().amax(1, keepdim=True)
    return change.sign().masked_fill(change.abs() <= rounding, 0).to(torch.int8)


def signs_by_mask(
    net: nn.Module, images: Tensor, masks: Iterable[Tensor], layers: Sequence[str], value: float = 0.0
) -> Iterator[dict[str, Tensor]]:
    """For each mask, boxes [N, 4], the signs [N, F] int8 of every layer's change, on the net's device.

    images [N, 3, H, W]. Memory holds one mask's signs at a time. Raises UserError for a layer that the net lacks.
    """
    batches = images.split(BATCH)
    cached = [features(net, batch, layers).layers for batch in batches[:CACHED]]
    for boxes in masks:
        changes: dict[str, list[Tensor]] = {layer: [] for layer in layers}
        for number, (batch, places) in enumerate(zip(batches, boxes.split(BATCH), strict=True)):
            # as many images in the same order: the same additions, so what no square touches stays the same to the bit
            plain = cached[number] if number < len(cached) else features(net, batch, layers).layers
            covered = features(net, cover_parts(batch, places, value), layers).layers
            for layer in layers:
                changes[layer].append(sign_changes(plain[layer], covered[layer]))
        yield {layer: torch.cat(signs) for layer, signs in changes.items()}


def compare_signs(signs: Tensor) -> Pairs:
    """Pairs of N images, compared by their signs [N, F] int8."""
    alike, still = (torch.zeros(len(signs), len(signs), dtype=torch.float64) for _ in range(2))
    for part in signs.split(COLUMNS, 1):
        up, down, same = ((part == sign).float() for sign in (1, -1, 0))
        alike += (up @ up.T + down @ down.T).cpu().double()  # on the CPU: not every GPU has float64
        still += (same @ same.T).cpu().double()
    count = signs.shape[1]
    return Pairs(count, (count - alike - still).long().numpy(), (count - still).long().numpy())


def hamming(signs: Tensor) -> NDArray[np.float64]:
    """[N, N], 0..1: the share of features whose signs [N, F] differ in each two images."""
    return compare_signs(signs).distance


def correspondence(
    net: nn.Module, images: Tensor, masks: Iterable[Tensor], layers: Sequence[str], value: float = 0.0
) -> dict[str, Pairs]:
    """For each layer the Pairs [M, N, N] of M masks, in their order; arguments as of `signs_by_mask`.

    masks: where processes share the work, those of this one, and the Pairs are of all masks. Raises UserError for one
    image alone, which has nothing to agree with.
    """
    if len(images) < 2:
        raise UserError(f"{len(images)} image: two or more are needed, because it is two images that agree")
    passes = signs_by_mask(net, images, masks, layers, value)
    by_mask = all_results({layer: compare_signs(signs[layer]) for layer in layers} for signs in passes)
    return {layer: _stacked([pairs[layer] for pairs in by_mask]) for layer in layers}


def _stacked(pairs: Sequence[Pairs]) -> Pairs:
    differ, changed = (np.stack(counts) for counts in list(zip(*pairs, strict=True))[1:])
    return Pairs(pairs[0].features, differ, changed)


def marked_images(
    subject: Subject,
    csv: str | None,
    only: Mapping[str, Any],
    images: int | list[int] | None,
    split: SplitName,
    seed: int,
) -> ImagesWithParts:
    """Images that show all their parts: those of a csv of parts, else drawn animals, whose parts are known.

    only: values of further columns that the csv's rows must have. images: how many, which, or None for all. Raises
    UserError for photographs without a csv, and as the readers of data/part_annotations.py do.
    """
    if csv is not None:
        return photographs_with_parts(subject.data, csv, only, images, seed)
    if subject.truth is None:
        raise UserError(
            "where the parts of these photographs are is not known; type correspond.parts=<csv with columns "
            "path,part,x,y or path,<part>_x,<part>_y>, or look at drawn animals: data=critters"
        )
    return critters_with_parts(subject.data, subject.truth, split, images, seed)


def part_masks(marked: ImagesWithParts, side: int, random: int, seed: int) -> tuple[Tensor, dict[str, slice]]:
    """Boxes [M, N, 4], and the group of masks that each of them belongs to.

    First each part's; then `random` at places drawn for each image (the paper's control); then as many at one place in
    all images (ours: how much features agree because of the place alone). side: pixels of the square.
    """
    image_size, (count, parts) = marked.image.shape[-1], marked.places.shape[:2]
    over = torch.stack([boxes_around(marked.places[:, part], side, image_size) for part in range(parts)])
    anywhere = random_boxes((random, count), side, image_size, seed)
    together = random_boxes((random, 1), side, image_size, seed + 1).expand(-1, count, -1)
    groups = {name: slice(part, part + 1) for part, name in enumerate(marked.parts)} | {MEAN: slice(0, parts)}
    groups |= {RANDOM: slice(parts, parts + random), TOGETHER: slice(parts + random, None)}
    return torch.cat([over, anywhere, together]), groups


def covered_pixels(
    marked: ImagesWithParts, masks: Tensor, value: float, pixel_scale: float | Sequence[float]
) -> Tensor:
    """Pictures [N, 1 + M, H, W, 3] uint8 of each image, and of the image as the net sees it under each mask [M, N, 4].

    pixel_scale: of the net's input to a grey level, one for all colors or one for each.
    """
    scale = torch.as_tensor(pixel_scale).view(-1, 1, 1)
    pixels = marked.pixels.float()
    columns = [pixels]
    for boxes in masks:
        columns.append(pixels + (cover_parts(marked.image, boxes, value) - marked.image) / scale)  # the means cancel
    return torch.stack(columns, 1).round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2)


def covered_side(config: CorrespondenceConfig, image_size: int) -> int:
    """Pixels of the square that covers a part."""
    return round(image_size / 7) if config.mask is None else config.mask
