"""Which images of one set are also in another: normalized correlation of every pair (section 5.2, on Caltech).

The paper takes images that both sets share out of the training set, and tells neither the size at which images are
compared nor the threshold. Ours: small images, gray or in color, each color channel minus its mean. The correlation
then is that of the remaining pixels, 1 for a copy however bright or contrasty, and does not see which side is brighter.

Exact: products of float32 unit vectors only choose the candidates, with room for all their rounding; those are
correlated in whole numbers, so that a copy has 1.0 and no result depends on the blocks in which images are taken.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.errors import UserError

LUMA = (299.0, 587.0, 114.0)  # thousandths of red, green and blue in gray (Rec. 601)
AT_ONCE = 2**22  # float64 values of each side that are correlated at a time
MOST = 1_000_000  # pairs; more of them are no list to look through


class Block(NamedTuple):
    """n images of a set, none of them of one color only. index [n] int64: their addresses in it.

    values [n, c, D] uint8: D pixels in c channels. unit [n, c D] float32: the same, without each channel's mean and of
    length 1, on the device that computes.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    values: Tensor
    unit: Tensor


class Matches(NamedTuple):
    """What n images of one set have in another, so far. index [n] int64: their addresses, ascending.

    best [n] float64, at [n] int64: the largest correlation and where, the first of equal ones; -inf and -1 before any
    image was seen. first, second [P] int64, correlation [P] float64: all pairs at or above the threshold.
    """

    index: Tensor  # type: ignore[assignment]
    best: Tensor
    at: Tensor
    first: Tensor
    second: Tensor
    correlation: Tensor


def gray(images: Tensor) -> Tensor:
    """uint8 [N, S, S, 3] to one channel, uint8 [N, 1, S S], rounded."""
    weighted = images.float() @ torch.tensor(LUMA)  # whole numbers below 2^24: exact
    return ((weighted + 500) / 1000).floor().to(torch.uint8).flatten(1)[:, None]


def colors(images: Tensor) -> Tensor:
    """uint8 [N, S, S, 3] to three channels, uint8 [N, 3, S S]."""
    return images.flatten(1, 2).transpose(1, 2).contiguous()


def image_block(index: Tensor, values: Tensor, device: torch.device | str = "cpu") -> Block:
    """The images index [n] with values [n, c, D]; those without any variance are left out: nothing correlates."""
    wide, pixels = values.double(), values.shape[2]
    spread = _spread(wide)
    kept, sums = spread > 0, wide.sum(2, keepdim=True)
    centered = values[kept].float() * pixels - sums[kept].float()  # D times; whole numbers below 2^24: exact
    length = (pixels * spread[kept]).sqrt().float()
    return Block(index[kept], values[kept], (centered.flatten(1) / length[:, None]).to(device))


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """[P] float64 of P pairs of images, values [P, c, D] uint8 each: exact up to the last division.

    Sums of products of whole numbers below 2^53 have no rounding, in any order. nan for an image without variance.
    """
    parts = []
    for one, other in zip(*(side.split(_rows(side)) for side in (first, second)), strict=True):
        a, b = one.double(), other.double()
        common = (a.shape[2] * torch.linalg.vecdot(a, b) - a.sum(2) * b.sum(2)).sum(1)
        parts.append((common / (_spread(a) * _spread(b)).sqrt()).clamp(-1, 1))
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)


def nothing(index: Tensor) -> Matches:
    """The matches of the images index [n] in no images."""
    none, addresses = torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.int64)
    best = torch.full((len(index),), -torch.inf, dtype=torch.float64)
    return Matches(index, best, torch.full_like(index, -1), addresses, addresses, none)


def matches(one: Block, other: Block, threshold: float, known: Tensor | None = None) -> Matches:
    """The matches of the images of `one` in `other`.

    known [n] float64: what correlation each image of `one` has found elsewhere; less is then not looked for, and
    stands as -inf. Raises UserError where the threshold is so low that pairs are too many to list.
    """
    found = nothing(one.index)
    if not len(one.index) or not len(other.index):
        return found
    rough = one.unit @ other.unit.T  # [n, m]
    highest = rough.amax(1).cpu().double()
    slack = _slack(one.unit.shape[1])
    least = highest - 2 * slack if known is None else torch.maximum(highest - 2 * slack, known - slack)
    least = least.clamp(max=threshold - slack)
    rows = (highest >= least).nonzero().flatten()
    near = rough[rows.to(rough.device)]
    if (near >= threshold - slack).sum() > MOST:
        raise too_many(threshold)
    near = near >= least[rows, None].to(near)
    row, column = (places.cpu() for places in near.nonzero(as_tuple=True))
    return _settled(found, one, other, (rows[row], column), threshold)


def merge(one: Matches, other: Matches) -> Matches:
    """The matches of the same images in the images of both, which have none in common."""
    better = (other.best > one.best) | ((other.best == one.best) & (other.at < one.at))
    pairs = (torch.cat(fields) for fields in zip(one[3:], other[3:], strict=True))
    return Matches(one.index, one.best.where(~better, other.best), one.at.where(~better, other.at), *pairs)


def joined(parts: Iterable[Matches]) -> Matches:
    """The matches of different images in the same ones; pairs strongest first, equal ones by address."""
    index, best, at, first, second, correlation = (torch.cat(fields) for fields in zip(*parts, strict=True))
    order = second.argsort(stable=True)
    order = order[first[order].argsort(stable=True)]
    order = order[correlation[order].argsort(descending=True, stable=True)]
    place = index.argsort()
    return Matches(index[place], best[place], at[place], first[order], second[order], correlation[order])


def too_many(threshold: float) -> UserError:
    """What is told when a threshold is too low for a list."""
    return UserError(
        f"overlap.threshold={threshold:g} lets more than {MOST:,} pairs pass, too many to be copies; type a higher one"
    )


def _settled(found: Matches, one: Block, other: Block, places: tuple[Tensor, Tensor], threshold: float) -> Matches:
    """The candidates at these rows and columns, correlated exactly."""
    rows, columns = places
    exact = torch.cat([
        correlations(one.values[some], other.values[those])
        for some, those in zip(*(side.split(_rows(one.values)) for side in places), strict=True)
    ])  # fmt: skip
    best = found.best.scatter_reduce(0, rows, exact, "amax")
    first = (exact == best[rows]).nonzero().flatten()
    far = torch.full_like(found.at, torch.iinfo(torch.int64).max)
    at = far.scatter_reduce(0, rows[first], other.index[columns[first]], "amin")
    pairs = exact >= threshold
    listed = one.index[rows[pairs]], other.index[columns[pairs]], exact[pairs]
    return Matches(one.index, best, torch.where(best == -torch.inf, -1, at), *listed)


def _spread(wide: Tensor) -> Tensor:
    """[n] float64: D times the sum of squares around the channels' means, of values [n, c, D] float64; exact."""
    return (wide.shape[2] * torch.linalg.vecdot(wide, wide) - wide.sum(2).square()).sum(1)


def _rows(values: Tensor) -> int:
    return max(1, AT_ONCE // values[0].numel()) if len(values) else 1


def _slack(length: int) -> float:
    """More than the rounding of a product of two float32 unit vectors of this length, in whatever order summed."""
    return (length + 8) * 2.0**-24
