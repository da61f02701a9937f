"""Which images of one set are also in another: normalized correlation of every pair (section 5.2, on Caltech).

The paper takes images that both sets share out of the training set, but gives neither the size at which images are
compared nor the threshold. Ours: small images, gray or in color, each color channel minus its mean. The correlation is
that of these pixels: 1 for a copy of any brightness or contrast, whichever of the two images is the brighter.

Exact: products of float32 unit vectors only choose the candidates, with room for all their rounding. The candidates
are correlated in whole numbers, so that a copy has 1.0 and no result depends on how the images are cut into blocks.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.errors import UserError

LUMA = (299.0, 587.0, 114.0)  # thousandths of red, green and blue in gray (Rec. 601)
VALUES_AT_ONCE = 2**22  # float64 values of each side that are correlated at a time
MAX_PAIRS = 1_000_000  # nobody looks through a longer list


class ImageBlock(NamedTuple):
    """n images of a set, none of them of one color only. index [n] int64: their numbers in the set.

    values [n, c, D] uint8: D pixels in c channels. unit [n, c D] float32: the same, without each channel's mean and of
    length 1, on the device that computes.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    values: Tensor
    unit: Tensor


class Matches(NamedTuple):
    """The matches of n images of one set in another set, or in a part of it. index [n] int64: their numbers, ascending.

    best [n] float64, at [n] int64: the largest correlation and the number of its image, the first of equal ones; -inf
    and -1 before any image was compared. first, second [P] int64, correlation [P] float64: all pairs at or above the
    threshold.
    """

    index: Tensor  # type: ignore[assignment]
    best: Tensor
    at: Tensor
    first: Tensor
    second: Tensor
    correlation: Tensor


def gray_values(images: Tensor) -> Tensor:
    """One channel, uint8 [N, 1, S S], of images uint8 [N, S, S, 3], rounded."""
    weighted = images.float() @ torch.tensor(LUMA)  # whole numbers below 2^24: exact
    return ((weighted + 500) / 1000).floor().to(torch.uint8).flatten(1)[:, None]


def color_values(images: Tensor) -> Tensor:
    """Three channels, uint8 [N, 3, S S], of images uint8 [N, S, S, 3]."""
    return images.flatten(1, 2).transpose(1, 2).contiguous()


def image_block(index: Tensor, values: Tensor, device: torch.device | str = "cpu") -> ImageBlock:
    """The images index [n] with values [n, c, D]; those without any variance are left out: nothing correlates."""
    wide, pixels = values.double(), values.shape[2]
    spread = _spread(wide)
    varied, sums = spread > 0, wide.sum(2, keepdim=True)
    centered = values[varied].float() * pixels - sums[varied].float()  # D times; whole numbers below 2^24: exact
    length = (pixels * spread[varied]).sqrt().float()
    return ImageBlock(index[varied], values[varied], (centered.flatten(1) / length[:, None]).to(device))


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Correlations [P] float64 of P pairs of images, values [P, c, D] uint8 each: exact up to the last division.

    Sums of products of whole numbers below 2^53 have no rounding, in any order. nan for an image without variance.
    """
    parts = []
    for part_pair in zip(*(side.split(_rows(side)) for side in (first, second)), strict=True):
        a, b = (part.double() for part in part_pair)
        common = (a.shape[2] * torch.linalg.vecdot(a, b) - a.sum(2) * b.sum(2)).sum(1)
        parts.append((common / (_spread(a) * _spread(b)).sqrt()).clamp(-1, 1))
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)


def no_matches(index: Tensor) -> Matches:
    """The matches of the images index [n] in no images."""
    no_correlations, no_pairs = torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.int64)
    best = torch.full((len(index),), -torch.inf, dtype=torch.float64)
    return Matches(index, best, torch.full_like(index, -1), no_pairs, no_pairs, no_correlations)


def find_matches(first: ImageBlock, second: ImageBlock, threshold: float, best: Tensor | None = None) -> Matches:
    """The matches of the images of `first` in `second`.

    best [n] float64: the largest correlation of each image of `first` with images compared before; a smaller one is
    not searched for and stands as -inf. Raises UserError where the threshold is so low that pairs are too many to list.
    """
    matches = no_matches(first.index)
    if not len(first.index) or not len(second.index):
        return matches
    rough = first.unit @ second.unit.T  # [n, m]
    highest = rough.amax(1).cpu().double()
    slack = _slack(first.unit.shape[1])
    bound = highest - 2 * slack if best is None else torch.maximum(highest - 2 * slack, best - slack)
    bound = bound.clamp(max=threshold - slack)
    rows = (highest >= bound).nonzero().flatten()
    near = rough[rows.to(rough.device)]
    if (near >= threshold - slack).sum() > MAX_PAIRS:
        raise too_many_pairs(threshold)
    candidates = near >= bound[rows, None].to(near)
    row, column = (places.cpu() for places in candidates.nonzero(as_tuple=True))
    return _exact_matches(matches, (first, second), (rows[row], column), threshold)


def merge_matches(left: Matches, right: Matches) -> Matches:
    """The matches of the same images in the images of both, which have none in common."""
    better = (right.best > left.best) | ((right.best == left.best) & (right.at < left.at))
    pairs = (torch.cat(fields) for fields in zip(left[3:], right[3:], strict=True))
    return Matches(left.index, left.best.where(~better, right.best), left.at.where(~better, right.at), *pairs)


def join_matches(parts: Iterable[Matches]) -> Matches:
    """The matches of different images in the same ones; pairs strongest first, equal ones by number."""
    index, best, at, first, second, correlation = (torch.cat(fields) for fields in zip(*parts, strict=True))
    order = second.argsort(stable=True)
    order = order[first[order].argsort(stable=True)]
    order = order[correlation[order].argsort(descending=True, stable=True)]
    place = index.argsort()
    return Matches(index[place], best[place], at[place], first[order], second[order], correlation[order])


def too_many_pairs(threshold: float) -> UserError:
    """The error for a threshold that is too low for a list of pairs."""
    return UserError(
        f"overlap.threshold={threshold:g} lets more than {MAX_PAIRS:,} pairs pass, too many to be copies; type a "
        "higher one"
    )


def _exact_matches(
    matches: Matches, blocks: tuple[ImageBlock, ImageBlock], places: tuple[Tensor, Tensor], threshold: float
) -> Matches:
    """The candidates at these rows of the first and columns of the second block, correlated exactly."""
    (first, second), (rows, columns) = blocks, places
    exact = torch.cat([
        correlations(first.values[some_rows], second.values[some_columns])
        for some_rows, some_columns in zip(*(side.split(_rows(first.values)) for side in places), strict=True)
    ])  # fmt: skip
    best = matches.best.scatter_reduce(0, rows, exact, "amax")
    is_best = (exact == best[rows]).nonzero().flatten()
    far = torch.full_like(matches.at, torch.iinfo(torch.int64).max)
    at = far.scatter_reduce(0, rows[is_best], second.index[columns[is_best]], "amin")
    pairs = exact >= threshold
    listed = first.index[rows[pairs]], second.index[columns[pairs]], exact[pairs]
    return Matches(first.index, best, torch.where(best == -torch.inf, -1, at), *listed)


def _spread(wide: Tensor) -> Tensor:
    """[n] float64: D times the sum of squares around the channels' means, of values [n, c, D] float64; exact."""
    return (wide.shape[2] * torch.linalg.vecdot(wide, wide) - wide.sum(2).square()).sum(1)


def _rows(values: Tensor) -> int:
    return max(1, VALUES_AT_ONCE // values[0].numel()) if len(values) else 1


def _slack(length: int) -> float:
    """More than the rounding of a product of two float32 unit vectors of this length, in whatever order summed."""
    return (length + 8) * 2.0**-24
