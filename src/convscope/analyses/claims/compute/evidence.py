"""Claims that are tested on images: each is measured image by image, and the images are the cases."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.claims.compute import (
    COVER,
    PARTS,
    PARTS_ABOVE,
    ROTATE,
    SCALE,
    SHIFT,
    TURN,
    Claim,
    judged,
    unmeasured,
)
from convscope.analyses.correspondence.compute import correspondence
from convscope.analyses.correspondence.job.table1 import MEAN, RANDOM, Correspond, all_masks
from convscope.analyses.invariance.compute import Sweep, joined, sweep, tolerances
from convscope.analyses.invariance.compute.warp import paper_transforms
from convscope.analyses.occlusion.compute import default_square, occlude, places, strongest_map
from convscope.analyses.occlusion.job.localization import RIGHT, Sample
from convscope.analyses.subject import Examples
from convscope.data.part_annotations import ImagesWithParts
from convscope.engine.hidden_layers import Hidden
from convscope.engine.progress import track
from convscope.metrics.contrasts import excess, share_lost
from convscope.metrics.intervals import pair_interval, pair_mean
from convscope.metrics.localization import hit

TOGETHER = 10  # images between two steps of the progress bar
TURNED = (30, 330)  # degrees: nearer to upright a net need not be invariant to keep its class
SURE = 0.5  # a class above it is the most probable one; of a smaller probability there is little to lose


def sweeps(net: nn.Module, examples: Examples, layers: Sequence[str]) -> dict[str, Sweep]:
    """What Fig. 5 shows, of these images and layers: by "translation", "scale", "rotation"."""
    found = {}
    for transform in paper_transforms(examples.image.shape[-1]):
        parts = list(zip(examples.image.split(TOGETHER), examples.target.split(TOGETHER), strict=True))
        words = f"{transform.name} of {len(examples.index)} images"
        each = [sweep(net, *part, layers, transform) for part in track(parts, words)]
        found[transform.name] = joined(each)
    return found


def invariance(found: dict[str, Sweep], hidden: Hidden, others: dict[str, Tensor], seed: int) -> list[Claim]:
    """Upper layers against the first: how far until half the greatest distance, as a share of the range (Fig. 5)."""
    claims = []
    for statement, name in ((SHIFT, "translation"), (SCALE, "scale")):
        half = {each.layer: each.half / found[name].transform.farthest for each in tolerances(found[name], others)}
        first, last = (half[layer].numpy() for layer in (hidden.first, hidden.last))
        because = f"half of the range gone at: {hidden.first} {_mean(first)}, {hidden.last} {_mean(last)}"
        claims.append(judged(statement, excess(last, first, seed), f"{because}; mean of each image's own"))
    return claims


def rotation(turned: Sweep, layer: str, others: dict[str, Tensor], classes: int, seed: int) -> list[Claim]:
    """What rotation does to the class's probability and to the features of `layer` (Fig. 5)."""
    away = (turned.values >= TURNED[0]) & (turned.values <= TURNED[1])
    before, after = (turned.probability[:, which].mean(1).numpy() for which in (turned.values == 0, away))
    sure = before >= SURE
    far = (turned.distance[layer][:, away].mean(1) / others[layer]).numpy()
    features = judged(TURN, excess(far, np.zeros(len(far)), seed), f"{layer}, {len(far)} images")
    if not sure.any():
        return [
            unmeasured(ROTATE, f"no class of {len(sure)} images has a probability of {SURE}; train longer"),
            features,
        ]
    before, after = before[sure], after[sure]
    because = (
        f"probability {before.mean():.2f} upright, {after.mean():.2f} rotated, {1 / classes:.2g} by chance; "
        f"{len(before)} of {len(sure)} images, those with {SURE} or more upright"
    )
    return [judged(ROTATE, share_lost(before, after, 1 / classes, seed), because), features]


def occlusion(net: nn.Module, sample: Sample | None, layer: str, seed: int) -> Claim:
    """Fig. 7: of correctly classified images, is more probability lost where the square is centered on the object?"""
    chosen = [number for number, group in enumerate(sample.group) if group == RIGHT] if sample else []
    if not sample or not chosen:
        return unmeasured(COVER, "no image whose object is known is classified correctly; train longer")
    device, size = next(net.parameters()).device, sample.image.shape[-1]
    square = default_square(size)
    centers = np.array(places(size, square)) + square.size / 2
    drops = []
    for number in track(chosen, f"covering {len(chosen)} images whose object is known"):
        image, target = sample.image[number].to(device), int(sample.target[number])
        seen = occlude(net, image, layer, strongest_map(net, image, layer), target, square)
        drops.append(hit(seen.probability, centers, size, sample.inside[number]).drop)
    told = f"{len(chosen)} correctly classified images, a square of {square.size} pixels moved by {square.stride}"
    return judged(COVER, excess(drops, np.zeros(len(drops)), seed), told)


def parts(net: nn.Module, marked: ImagesWithParts, plan: Correspond, hidden: Hidden, seed: int) -> list[Claim]:
    """Table 1: do parts correspond more than random places, at the paper's layers 5 and 7? By the paper's measure."""
    masks, groups = all_masks(marked, plan, marked.image.shape[-1], seed)
    covering = track(masks, f"covering parts of {len(marked.names)} images")
    pairs = correspondence(net, marked.image, covering, [hidden.maps, hidden.last], plan.value)
    told, gains = [], []
    for layer in (hidden.maps, hidden.last):
        random, part = (pairs[layer].distance[groups[group]].mean(0) for group in (RANDOM, MEAN))  # [N, N]
        gains.append(random - part)
        changed = (pairs[layer].distance_of_changed[groups[group]].mean(0) for group in (RANDOM, MEAN))
        ours = " and ".join(f"{pair_mean(each):.3f}" for each in changed)
        told.append(f"{layer}: random {pair_mean(random):.3f}, parts {pair_mean(part):.3f}, of changed features {ours}")
    images = f"{len(marked.names)} images, {', '.join(marked.parts)}"
    return [
        judged(PARTS, pair_interval(gains[0], seed), f"{told[0]}; {images}"),
        judged(PARTS_ABOVE, pair_interval(gains[0] - gains[1], seed), "; ".join(told)),
    ]


def _mean(values: NDArray[np.float32]) -> str:
    return f"{values[np.isfinite(values)].mean():.0%}" if np.isfinite(values).any() else "nowhere"
