"""Claims that are tested on images: each is measured image by image, and the images are the independent cases."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.claims.compute import (
    OCCLUSION,
    PARTS,
    PARTS_ABOVE,
    ROTATED_CLASS,
    ROTATED_FEATURES,
    SCALE,
    SHIFT,
    Claim,
    judge,
    unmeasured,
)
from convscope.analyses.correspondence.about import CorrespondenceConfig
from convscope.analyses.correspondence.compute import MEAN, RANDOM, correspondence, covered_side, part_masks
from convscope.analyses.invariance.compute import Sweep, join_sweeps, sweep
from convscope.analyses.invariance.compute.tolerance import tolerances
from convscope.analyses.invariance.compute.warp import paper_transforms
from convscope.analyses.occlusion.compute import default_occluder, occlude, occluder_edges, strongest_map
from convscope.analyses.occlusion.compute.localization import RIGHT, Sample
from convscope.analyses.subject import Examples
from convscope.data.part_annotations import ImagesWithParts
from convscope.data.shared_passes import all_results, own_parts
from convscope.engine.layers import LayerRoles
from convscope.engine.progress import track
from convscope.metrics.contrasts import paired_difference, share_lost
from convscope.metrics.intervals import pair_interval, pair_mean
from convscope.metrics.localization import localization_hit
from convscope.runs.number_format import counted

IMAGES_AT_ONCE = 10  # between two steps of the progress bar
ROTATED = (30, 330)  # degrees: nearer to upright a net need not be invariant to keep its class
MIN_PROBABILITY = 0.5  # a class above it is the most probable one; of a smaller probability there is little to lose


def sweeps(net: nn.Module, examples: Examples, layers: Sequence[str]) -> dict[str, Sweep]:
    """The sweeps of Fig. 5 of these images and layers, by "translation", "scale", "rotation"."""
    by_transform = {}
    for transform in paper_transforms(examples.image.shape[-1]):
        images, targets = examples.image.split(IMAGES_AT_ONCE), examples.target.split(IMAGES_AT_ONCE)
        words = f"{transform.name} of {len(examples.index)} images"
        watched = track(own_parts(list(zip(images, targets, strict=True))), words)
        answers = all_results(sweep(net, *part, layers, transform)[1:] for part in watched)  # functions do not travel
        by_transform[transform.name] = join_sweeps([Sweep(transform, *fields) for fields in answers])
    return by_transform


def invariance(
    by_transform: dict[str, Sweep], hidden: LayerRoles, image_distances: dict[str, Tensor], seed: int
) -> list[Claim]:
    """Upper layers against the first: the amount at half the greatest distance, as a share of the range (Fig. 5).

    image_distances: by layer, the distance of each image's features to those of other images.
    """
    claims = []
    for statement, name in ((SHIFT, "translation"), (SCALE, "scale")):
        by_layer = tolerances(by_transform[name], image_distances)
        half = {tolerance.layer: tolerance.half / by_transform[name].transform.farthest for tolerance in by_layer}
        first, last = (half[layer].numpy() for layer in (hidden.first, hidden.last))
        because = f"half of the range gone at: {hidden.first} {_mean(first)}, {hidden.last} {_mean(last)}"
        claims.append(judge(statement, paired_difference(last, first, seed), f"{because}; mean of each image's own"))
    return claims


def rotation(turned: Sweep, layer: str, image_distances: dict[str, Tensor], classes: int, seed: int) -> list[Claim]:
    """The fall of the class's probability and the change of the features of `layer` under rotation (Fig. 5).

    image_distances: as in `invariance`.
    """
    away = (turned.values >= ROTATED[0]) & (turned.values <= ROTATED[1])
    before, after = (turned.probability[:, angles].mean(1).numpy() for angles in (turned.values == 0, away))
    sure = before >= MIN_PROBABILITY
    far = (turned.distance[layer][:, away].mean(1) / image_distances[layer]).numpy()
    features = judge(ROTATED_FEATURES, paired_difference(far, np.zeros(len(far)), seed), f"{layer}, {len(far)} images")
    if not sure.any():
        missing = f"no class of {len(sure)} images has a probability of {MIN_PROBABILITY}; train longer"
        return [unmeasured(ROTATED_CLASS, missing), features]
    before, after = before[sure], after[sure]
    because = (
        f"probability {before.mean():.2f} upright, {after.mean():.2f} rotated, {1 / classes:.2g} by chance; "
        f"{len(before)} of {len(sure)} images, those with {MIN_PROBABILITY} or more upright"
    )
    return [judge(ROTATED_CLASS, share_lost(before, after, 1 / classes, seed), because), features]


def occlusion(net: nn.Module, sample: Sample | None, layer: str, seed: int) -> Claim:
    """Fig. 7: of correctly classified images, is more probability lost where the square is centered on the object?"""
    chosen = [number for number, group in enumerate(sample.group) if group == RIGHT] if sample else []
    if not sample or not chosen:
        return unmeasured(OCCLUSION, "no image whose object is known is classified correctly; train longer")
    device, size = next(net.parameters()).device, sample.image.shape[-1]
    square = default_occluder(size)
    centers = np.array(occluder_edges(size, square)) + square.size / 2
    own_drops = []
    for number in track(own_parts(chosen), f"covering {len(chosen)} images whose object is known"):
        image, target = sample.image[number].to(device), int(sample.target[number])
        occluded = occlude(net, image, layer, strongest_map(net, image, layer), target, square)
        own_drops.append(localization_hit(occluded.probability, centers, size, sample.inside[number]).drop)
    drops = all_results(own_drops)
    images = counted(len(chosen), "correctly classified image")
    because = f"{images}, a square of {square.size} pixels moved by {square.stride}"
    return judge(OCCLUSION, paired_difference(drops, np.zeros(len(drops)), seed), because)


def parts(
    net: nn.Module, marked: ImagesWithParts, plan: CorrespondenceConfig, hidden: LayerRoles, seed: int
) -> list[Claim]:
    """Table 1: do parts correspond more than random places, at the paper's layers 5 and 7? By the paper's measure."""
    masks, groups = part_masks(marked, covered_side(plan, marked.image.shape[-1]), plan.random, seed)
    covering = track(own_parts(list(masks)), f"covering parts of {len(marked.names)} images")
    pairs = correspondence(net, marked.image, covering, list(dict.fromkeys(hidden[1:])), plan.value)
    by_layer, gains = [], []
    for layer in (hidden.maps, hidden.last):
        random, part = (pairs[layer].distance[groups[group]].mean(0) for group in (RANDOM, MEAN))  # [N, N]
        gains.append(random - part)
        changed = (pairs[layer].distance_of_changed[groups[group]].mean(0) for group in (RANDOM, MEAN))
        ours = " and ".join(f"{pair_mean(distances):.3f}" for distances in changed)
        by_layer.append(
            f"{layer}: random {pair_mean(random):.3f}, parts {pair_mean(part):.3f}, of changed features {ours}"
        )
    images = f"{len(marked.names)} images, {', '.join(marked.parts)}"
    at_maps = judge(PARTS, pair_interval(gains[0], seed), f"{by_layer[0]}; {images}")
    if hidden.maps == hidden.last:
        return [at_maps, unmeasured(PARTS_ABOVE, f"this net has no hidden layer above {hidden.maps}")]
    return [at_maps, judge(PARTS_ABOVE, pair_interval(gains[0] - gains[1], seed), "; ".join(by_layer))]


def _mean(values: NDArray[np.float32]) -> str:
    return f"{values[np.isfinite(values)].mean():.0%}" if np.isfinite(values).any() else "nowhere"
