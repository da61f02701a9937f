"""Cover the same part of several images: do a layer's features change alike (section 4.3, Table 1)?

An image's change of features is epsilon = x - x~: those of the image minus those of the image with a part covered. Two
images agree on a feature where the sign of its change (-1, 0 or 1) is the same; the normalized Hamming distance of the
signs is small where the net relates the part of one image to the same part of the other.

The paper names neither size nor place nor value of what covers: here squares of one size, wholly inside the image. Most
features of a low layer do not see the square, and unchanged counts as agreement in the paper's measure, so that the
less a square changes the better images agree. Hence two more measures, ours: among the features that changed in at
least one of the two images, and among those that changed in both, where chance is a half.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.engine.features import features
from convscope.errors import UserError

BATCH = 16  # images in one pass
KEPT = 2  # batches whose uncovered features are kept; those of more are computed anew for each mask
ROUNDING = 1e-6  # of an image's largest feature: less is no change, only another order of additions
COLUMNS = 1 << 16  # features compared at a time, so that their float32 counts are exact and small


class Pairs(NamedTuple):
    """What signs of N images say of each two of them. features: how many there are. differ [..., N, N] int64: of how
    many the signs differ; changed [..., N, N]: how many changed in at least one of the two images."""

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
        own = np.diagonal(self.changed, axis1=-2, axis2=-1)
        both = own[..., :, None] + own[..., None, :] - self.changed
        count = self.differ - (self.changed - both)  # changed in one alone is a difference, but nothing opposite
        return np.where(both > 0, count / np.maximum(both, 1), 0.5)

    @property
    def share_changed(self) -> NDArray[np.float64]:
        """[..., N]: the share of its features that changed in each image."""
        return np.diagonal(self.changed, axis1=-2, axis2=-1) / self.features


def boxes_around(places: Tensor, side: int, image_size: int) -> Tensor:
    """Boxes [N, 4] int64 x0 y0 x1 y1 (x1, y1 not included) around places [N, 2] (x, y), moved to lie inside the image.

    A place at the border is covered by as large a square as any other. UserError: a side that does not fit, a place
    that is unknown (nan) or outside the image.
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
    """Boxes [*shape, 4] as of `squares`, each somewhere in the image, every place as probable as any other."""
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
    """[N, F] int8: the sign, -1, 0 or 1, of plain - covered, both [N, ...]; 0 too for what is only rounding."""
    plain, covered = plain.flatten(1), covered.flatten(1)
    change = plain - covered
    least = ROUNDING * plain.abs().amax(1, keepdim=True)
    return change.sign().masked_fill(change.abs() <= least, 0).to(torch.int8)


def signs_by_mask(
    net: nn.Module, images: Tensor, masks: Iterable[Tensor], layers: Sequence[str], value: float = 0.0
) -> Iterator[dict[str, Tensor]]:
    """For each mask, boxes [N, 4], the signs [N, F] int8 of every layer's change, on the net's device.

    images [N, 3, H, W]. One mask's signs are held at a time. UserError: a layer that the net does not have.
    """
    batches = images.split(BATCH)
    kept = [features(net, batch, layers).layers for batch in batches[:KEPT]]
    for boxes in masks:
        found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
        for number, (batch, places) in enumerate(zip(batches, boxes.split(BATCH), strict=True)):
            # as many images in the same order: the same additions, so what no square touches stays the same to the bit
            plain = kept[number] if number < len(kept) else features(net, batch, layers).layers
            covered = features(net, cover_parts(batch, places, value), layers).layers
            for layer in layers:
                found[layer].append(sign_changes(plain[layer], covered[layer]))
        yield {layer: torch.cat(signs) for layer, signs in found.items()}


def compare_signs(signs: Tensor) -> Pairs:
    """Each two of N images by their signs [N, F] int8."""
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
    """For each layer the Pairs [M, N, N] of M masks, in their order; arguments as of `changes`.

    Raises UserError for one image alone, which has nothing to agree with.
    """
    if len(images) < 2:
        raise UserError(f"{len(images)} image: two or more are needed, because it is two images that agree")
    found: dict[str, list[Pairs]] = {layer: [] for layer in layers}
    for signs in signs_by_mask(net, images, masks, layers, value):
        for layer in layers:
            found[layer].append(compare_signs(signs[layer]))
    return {layer: _stacked(pairs) for layer, pairs in found.items()}


def _stacked(pairs: Sequence[Pairs]) -> Pairs:
    differ, changed = (np.stack(counts) for counts in list(zip(*pairs, strict=True))[1:])
    return Pairs(pairs[0].features, differ, changed)
