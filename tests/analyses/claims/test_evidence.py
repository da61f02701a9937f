"""Claims on measurements and nets that are made so that what must come out is known."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.analyses.claims.compute import evidence
from convscope.analyses.correspondence.about import CorrespondenceConfig
from convscope.analyses.invariance.compute import Sweep
from convscope.analyses.invariance.compute.warp import paper_transforms
from convscope.analyses.occlusion.compute.localization import RIGHT, WRONG, Sample
from convscope.data.part_annotations import ImagesWithParts
from convscope.engine.layers import LayerRoles
from convscope.metrics.localization import in_mask

LAYERS = LayerRoles("first", "first", "last")
COUNT = 20
NOISE = torch.Generator().manual_seed(0)
TRANSFORMS = {transform.name: transform for transform in paper_transforms(64)}
JUMPS, GROWS = (lambda away: (away != 0).float()), (lambda away: away.abs())


def swept(name, first, last, probability=None):
    """A sweep of images whose distances follow these functions of how far away a value is, each image a little off."""
    transform = TRANSFORMS[name]
    away = transform.amounts.float()
    factor = 1 + 0.1 * torch.rand(COUNT, 1, generator=NOISE)
    bent = 1 + 0.1 * torch.rand(COUNT, 1, generator=NOISE)
    distance = {"first": factor * first(away) ** bent, "last": factor * last(away) ** bent}
    probability = torch.full((COUNT, len(away)), 0.9) if probability is None else probability
    values = torch.tensor(transform.values, dtype=torch.float64)
    return Sweep(transform, values, distance, probability, torch.zeros(COUNT, len(away), dtype=torch.int64))


OTHERS = {"first": torch.full((COUNT,), 1.0), "last": torch.full((COUNT,), 1.0)}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(JUMPS, GROWS, "holds"), (GROWS, JUMPS, "does not hold"), (GROWS, GROWS, "does not hold")],
)
def test_invariance_compares_the_layers_image_by_image(first, last, expected):
    sweeps = {name: swept(name, first, last) for name in ("translation", "scale")}
    claims = evidence.invariance(sweeps, LAYERS, OTHERS, seed=0)
    assert [claim.name for claim in claims] == ["shift", "scale"]
    assert {claim.verdict for claim in claims} == {expected} and {claim.n for claim in claims} == {COUNT}


def test_layers_that_scatter_stay_undecided():
    sweeps = {name: swept(name, GROWS, GROWS) for name in ("translation", "scale")}
    for sweep in sweeps.values():
        for image in range(COUNT):  # in half of the images one layer jumps, in the other half the other one
            sweep.distance["first" if image % 2 else "last"][image] = JUMPS(sweep.transform.amounts.float())
    assert {c.verdict for c in evidence.invariance(sweeps, LAYERS, OTHERS, seed=0)} == {"not enough data"}


@pytest.mark.parametrize(
    ("rotated", "moved", "expected"), [(0.1, 0.9, "holds"), (0.85, 0.1, "does not hold"), (0.9, 0.0, "does not hold")]
)
def test_rotation_is_judged_far_from_upright(rotated, moved, expected):
    turned = TRANSFORMS["rotation"].amounts.abs()
    far = turned >= 30
    probability = torch.where(far, rotated, 0.9).float().expand(COUNT, -1)
    sweep = swept("rotation", JUMPS, lambda away: far.float(), probability)
    sweep.distance["last"][:] = torch.where(far, moved, 0.0)
    claims = evidence.rotation(sweep, "last", OTHERS, classes=10, seed=0)
    assert [claim.verdict for claim in claims] == [expected] * 2
    assert claims[0].value == pytest.approx((0.9 - rotated) / 0.8, abs=1e-5)
    assert claims[1].value == pytest.approx(moved)


def test_rotation_needs_images_whose_class_is_seen():
    sweep = swept("rotation", JUMPS, JUMPS, torch.full((COUNT, 36), 0.2))
    lost, features = evidence.rotation(sweep, "last", OTHERS, classes=10, seed=0)
    assert lost.verdict == "not enough data" and "no class of 20 images" in lost.because
    assert features.verdict == "holds"


SIZE = 28  # a square of 4 pixels, moved by 1


def seer(weight):
    """A net whose class 1 is as probable as the image weighed by weight [SIZE, SIZE] is large."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(SIZE * SIZE, 2, bias=False))
    with torch.no_grad():
        net[0].weight.fill_(1 / 3)
        net[3].weight.copy_(torch.stack([torch.zeros(SIZE * SIZE), weight.flatten()]))
    return net.eval()


def objects(count, group=RIGHT):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:20, 8:20] = 1
    image = 1 + torch.rand(count, 3, SIZE, SIZE, generator=NOISE)
    return Sample(image, torch.ones(count, dtype=torch.int64), [in_mask(mask)] * count, [group] * count, "")


@pytest.mark.parametrize(
    ("on", "off", "expected"),
    [(0.02, 0.0, "holds"), (0.0, 0.006, "does not hold"), (0.0, 0.0, "does not hold")],
)
def test_covering_the_object_against_covering_elsewhere(on, off, expected):
    weight = torch.full((SIZE, SIZE), off)
    weight[8:20, 8:20] = on
    claim = evidence.occlusion(seer(weight), objects(8), "0", seed=0)
    assert claim.verdict == expected and claim.n == 8 and "8 correctly classified images" in claim.because


def test_covering_needs_images_that_are_classified_correctly():
    weight = torch.full((SIZE, SIZE), 0.02)
    assert evidence.occlusion(seer(weight), objects(5), "0", seed=0).verdict == "not enough data"  # five are too few
    for sample in (None, objects(8, WRONG)):
        claim = evidence.occlusion(seer(weight), sample, "0", seed=0)
        assert claim.n == 0 and "no image whose object is known is classified correctly" in claim.because


def colors():
    """A net whose features are random weighted means of the image's colors: their signs tell what was covered."""
    torch.manual_seed(1)
    pooled = nn.Sequential(nn.Conv2d(3, 64, 1, bias=False), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(pooled, nn.Flatten(), nn.Linear(64, 32, bias=False), nn.Linear(32, 2)).eval()


def marked(alike, count=10):
    """Images of noise colors in blocks; alike: the part is of one color in all of them, everything else is not.

    Otherwise everything else is of one color, and the part differs.
    """
    draw = torch.Generator().manual_seed(2)
    constant = torch.tensor([40.0, -60.0, 20.0])[None, :, None, None]
    image = torch.randn(count, 3, 1, 1, generator=draw) * 50
    image = image.expand(-1, -1, 56, 56).clone() if alike else constant.expand(count, -1, 56, 56).clone()
    part = constant if alike else torch.randn(count, 3, 1, 1, generator=draw) * 50
    image[:, :, 20:36, 20:36] = part
    places = torch.full((count, 1, 2), 28.0)
    return ImagesWithParts(image, image.to(torch.uint8), places, [str(number) for number in range(count)], ["nose"])


@pytest.mark.parametrize(("alike", "expected"), [(True, "holds"), (False, "does not hold")])
def test_parts_against_random_places(alike, expected):
    plan = CorrespondenceConfig(images=10, random=8)
    claims = evidence.parts(colors(), marked(alike), plan, LayerRoles("0.0", "0", "2"), seed=0)
    assert [claim.name for claim in claims] == ["parts", "parts_above"]
    assert claims[0].verdict == expected and claims[0].n == 10 and "10 images, nose" in claims[0].because


def test_few_images_of_parts_stay_undecided():
    claims = evidence.parts(
        colors(), marked(True, 4), CorrespondenceConfig(images=4, random=8), LayerRoles("0.0", "0", "2"), seed=0
    )
    assert claims[0].verdict == "not enough data" and "4 independent cases, a verdict takes 6" in claims[0].because


def test_a_net_without_hidden_layer_above_its_convolutions_has_none_to_compare():
    claims = evidence.parts(
        colors(), marked(True), CorrespondenceConfig(images=10, random=8), LayerRoles("0.0", "0", "0"), seed=0
    )
    assert claims[1].n == 0 and claims[1].because == "this net has no hidden layer above 0"
    assert claims[0].n == 10  # images, each once
