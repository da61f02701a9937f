"""Which maps detect a part: by their IoU, against masks of other images."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.dissection.compute.counts import Counts
from convscope.metrics.intervals import Interval, bootstrap_interval

CHUNK = 2**24  # numbers of resampled images at a time


class Detectors(NamedTuple):
    """The C maps of a layer. iou: [C, P]. part: [C], the part of the largest IoU. best: [C], that IoU.

    shuffled: [S, C, P], IoU with masks of other images. null: [C], the largest of them. is_detector: [C], whether best
    exceeds both the threshold and null.
    """

    iou: Tensor
    part: Tensor
    best: Tensor
    shuffled: Tensor
    null: Tensor
    is_detector: Tensor

    @property
    def by_part(self) -> Tensor:
        """[P] int64: the number of detectors of each part."""
        return torch.bincount(self.part[self.is_detector], minlength=self.iou.shape[1])

    def shuffled_by_part(self, threshold: float) -> Tensor:
        """[P] float64: how many maps are detectors of each part with masks of other images, mean over the shuffles.

        Each shuffle is judged as the true masks are: by the threshold, and by the largest IoU of the other shuffles.
        """
        best, part = self.shuffled.max(2)  # [S, C]
        second = best.topk(2, 0).values[1] if len(best) > 1 else 0.0  # [C]
        counts = torch.bincount(part[(best > threshold) & (best > second)], minlength=self.iou.shape[1])
        return counts.double() / len(self.shuffled)

    def above_threshold_shuffled(self, threshold: float) -> float:
        """Maps whose best IoU with masks of other images exceeds the threshold, mean over the shuffles.

        That many detectors there would be by chance if the threshold alone decided, as it does in the paper.
        """
        return float((self.shuffled.amax(2) > threshold).sum()) / len(self.shuffled)


def detectors(counts: Counts, threshold: float) -> Detectors:
    """The detectors of a layer."""
    strong, part = counts.strong.sum(0), counts.part.sum(0)
    iou = _iou(counts.both.sum(0), strong, part)
    best, place = iou.max(1)
    shuffled = _iou(counts.shuffled, strong, part)
    null = shuffled.amax((0, 2))
    return Detectors(iou, place, best, shuffled, null, (best > threshold) & (best > null))


def _iou(both: Tensor, strong: Tensor, part: Tensor) -> Tensor:
    """[..., C, P] float64 of pixels of both [..., C, P], of maps [C] and of parts [P]; 0 where there is none."""
    both = both.double()
    return both / (strong[:, None] + part - both).clamp(min=1)


def largest_possible(counts: Counts) -> Tensor:
    """[P] float64: the IoU that a layer's map would have with each part if the smaller of the two lay in the other.

    Small for a part that fills more of the images than a map may be strong in.
    """
    strong, part = counts.strong.sum(0).double()[:, None], counts.part.sum(0).double()
    return (torch.minimum(strong, part) / torch.maximum(strong, part).clamp(min=1)).amax(0)


def iou_intervals(counts: Counts, part: Tensor) -> tuple[Tensor, Tensor]:
    """Ends [C] of the 95 % intervals of each map's IoU with its part [C], over the drawing of the images.

    The IoU is a ratio of two sums over images; its variance is that of the sum of `both - IoU * either`.
    """
    from scipy.stats import t as student

    count = len(counts.strong)
    both = counts.both.gather(2, part.expand(count, -1)[..., None])[..., 0].double()  # [N, C]
    either = counts.strong + counts.part[:, part] - both
    total = either.sum(0).clamp(min=1)
    iou = both.sum(0) / total
    error = ((both - iou * either).square().sum(0) * count / max(1, count - 1)).sqrt() / total
    reach = error * float(student.ppf(0.975, max(1, count - 1)))
    return (iou - reach).clamp(min=0), (iou + reach).clamp(max=1)


class DetectorCounts(NamedTuple):
    """maps: how many maps of a layer are detectors. parts: how many parts have one."""

    maps: Interval
    parts: Interval


def detector_counts(counts: Counts, detected: Detectors, threshold: float, seed: int) -> DetectorCounts:
    """Both numbers of a layer, with intervals from resampling the images; thresholds and nulls stay."""
    images = len(counts.strong)
    numbers = torch.cat([counts.both.flatten(1), counts.strong, counts.part], 1).float().numpy()
    maps, parts = detected.iou.shape
    floor = np.maximum(detected.null.numpy(), threshold)

    def part_of_maps(cases: NDArray[np.int64]) -> NDArray[np.int64]:
        """[R, C]: the part that each map detects among the cases [R, N], -1 for none."""
        rows, labels = max(1, CHUNK // numbers.shape[1]), []
        for start in range(0, len(cases), rows):
            chunk = cases[start : start + rows]
            times = np.stack([np.bincount(row, minlength=images) for row in chunk]).astype(np.float32)
            both, strong, part = np.split(times @ numbers, [maps * parts, maps * parts + maps], axis=1)
            both = both.reshape(-1, maps, parts)
            iou = both / np.maximum(strong[..., None] + part[:, None] - both, 1)
            labels.append(np.where(iou.max(2) > floor, iou.argmax(2), -1))
        return np.concatenate(labels)

    def of_maps(cases: NDArray[np.int64]) -> NDArray[np.float64]:
        return (part_of_maps(np.atleast_2d(cases)) >= 0).sum(1, dtype=float).reshape(cases.shape[:-1])

    def of_parts(cases: NDArray[np.int64]) -> NDArray[np.float64]:
        labels = part_of_maps(np.atleast_2d(cases))
        has_detector = np.stack([(labels == part).any(1) for part in range(parts)])
        return has_detector.sum(0, dtype=float).reshape(cases.shape[:-1])

    return DetectorCounts(
        _within(bootstrap_interval(images, of_maps, seed, vectorized=True), int(detected.is_detector.sum()), maps),
        _within(bootstrap_interval(images, of_parts, seed, vectorized=True), int((detected.by_part > 0).sum()), parts),
    )


def _within(interval: Interval, value: int, most: int) -> Interval:
    """The interval around a number of things, 0 to `most`: as wide on both sides as on the wider one.

    Counts of resamples are biased: an image that comes twice lets more overlaps exceed the threshold, one that is left
    out takes its detectors with it. So neither end of theirs can be trusted to be the nearer one.
    """
    reach = max(value - interval.low, interval.high - value)
    return interval._replace(value=value, low=max(0, value - reach), high=min(most, value + reach))
