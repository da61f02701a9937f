"""Distances against closed forms, one image at a time, and nets that cannot tell; the numbers against known curves."""

import math

import pytest
import torch
from torch import nn

from convscope.analyses.invariance.compute import Sweep, distance_to_others, join_sweeps, sweep
from convscope.analyses.invariance.compute.tolerance import class_stability, half_distance, tolerances
from convscope.analyses.invariance.compute.warp import Transform, paper_transforms, rotated, translated
from convscope.errors import UserError
from engine.specimens import maps_of, photographs, row_net

SIZE = 64
SHIFTS = Transform("translation", "px", (-6, -3, 0, 3, 6), translated, float, 3, 6)


@pytest.fixture(scope="module")
def net():
    return row_net(SIZE)


@pytest.fixture(scope="module")
def images():
    return photographs(5, (SIZE, SIZE))


TARGETS = torch.tensor([0, 3, 6, 2, 2])


class Blind(nn.Module):
    """Sees colors, not places: one-pixel convolutions, then the mean."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.pixel = nn.Sequential(nn.Conv2d(3, 9, 1), nn.ReLU(), nn.Conv2d(9, 7, 1), nn.ReLU())
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.end = nn.Linear(7, 4)

    def forward(self, images):
        return self.end(self.mean(self.pixel(images)).flatten(1))


@pytest.mark.parametrize("transform", paper_transforms(SIZE), ids=lambda transform: transform.name)
def test_no_change_is_no_distance(net, images, transform):
    layers = [name for name, _ in net.named_children()]
    swept_images = sweep(net, images[:2], TARGETS[:2], layers, transform)
    for layer in layers:
        assert (swept_images.distance[layer][:, transform.amounts == 0] == 0).all()
        assert (swept_images.distance[layer][:, transform.amounts != 0] > 0).any(), layer


def test_distances_and_classes_are_those_of_images_passed_one_by_one(net, images):
    for transform in paper_transforms(SIZE):
        swept_images = sweep(net, images, TARGETS, ["conv1", "fc5"], transform, "reflect")
        for number in (0, 4):
            image = images[number : number + 1]
            for column in (1, 7, len(transform.values) - 1):
                moved = transform.apply(image, transform.values[column], "reflect")
                for layer in ("conv1", "fc5"):
                    expected = (maps_of(net, layer, moved) - maps_of(net, layer, image)).square().sum().sqrt()
                    assert swept_images.distance[layer][number, column].item() == pytest.approx(
                        expected.item(), rel=1e-5
                    )
                chance = net(moved.clone()).softmax(1)[0]
                assert swept_images.probability[number, column].item() == pytest.approx(
                    chance[TARGETS[number]].item(), rel=1e-5
                )
                assert swept_images.predicted[number, column] == chance.argmax()


def test_a_linear_net_has_a_closed_form():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 5)).double()
    images = photographs(3, (12, 12))
    swept_images = sweep(net, images, torch.zeros(3, dtype=torch.long), ["1"], SHIFTS)
    gram = net[1].weight.T @ net[1].weight
    for column, pixels in enumerate(SHIFTS.values):
        rolled = images.roll(pixels, 2)
        rolled[:, :, : max(0, pixels)] = 0
        rolled[:, :, 12 + min(0, pixels) :] = 0
        change = (rolled - images).flatten(1)
        expected = torch.einsum("ni,ij,nj->n", change, gram, change).clamp(min=0).sqrt()
        torch.testing.assert_close(swept_images.distance["1"][:, column].double(), expected, rtol=1e-5, atol=1e-6)


def test_a_net_that_sees_no_places_is_invariant_to_shifts_and_quarter_turns():
    net, images = Blind(), torch.zeros(3, 3, 24, 24)
    images[:, :, 7:17, 7:17] = photographs(3, (10, 10)).float()
    quarters = Transform("rotation", "degrees", (0, 90, 180, 270), rotated, float, 90, 180)
    for transform in (SHIFTS, quarters):
        swept_images = sweep(net, images, torch.tensor([0, 1, 2]), ["pixel", "mean"], transform)
        assert swept_images.distance["mean"].max() < 1e-5 < 1 < swept_images.distance["pixel"].max()
        assert (swept_images.probability - swept_images.probability[:, :1]).abs().max() < 1e-5


@pytest.mark.parametrize("batch", [1, 7, 12])
def test_batches_do_not_matter(net, images, batch):
    whole = sweep(net, images, TARGETS, ["conv3", "fc5"], SHIFTS, batch=1000)
    parts = sweep(net, images, TARGETS, ["conv3", "fc5"], SHIFTS, batch=batch)
    for layer in ("conv3", "fc5"):
        torch.testing.assert_close(parts.distance[layer], whole.distance[layer])
    torch.testing.assert_close(parts.probability, whole.probability)
    assert torch.equal(parts.predicted, whole.predicted)


def test_sweeps_of_some_images_join(net, images):
    whole = sweep(net, images, TARGETS, ["fc5"], SHIFTS)
    both = join_sweeps([sweep(net, images[part], TARGETS[part], ["fc5"], SHIFTS) for part in (slice(2), slice(2, 5))])
    torch.testing.assert_close(both.distance["fc5"], whole.distance["fc5"])
    assert torch.equal(both.values, whole.values) and both.predicted.shape == (5, 5)


def test_a_transform_that_changes_nothing_is_swept_too(net, images):
    still = Transform("still", "px", (0,), translated, float, 1, 1)
    swept_images = sweep(net, images, TARGETS, ["conv1"], still)
    assert swept_images.distance["conv1"].shape == (5, 1) and (swept_images.distance["conv1"] == 0).all()
    chance = net(images.clone()).softmax(1)[torch.arange(5), TARGETS]
    torch.testing.assert_close(swept_images.probability[:, 0], chance.float().detach())


def test_distances_to_others_are_those_to_the_images_of_the_group(net, images):
    for layer in ("conv1", "fc5"):
        rows = maps_of(net, layer, images).flatten(1)
        apart = torch.tensor([[(first - second).square().sum().sqrt() for second in rows] for first in rows])
        torch.testing.assert_close(distance_to_others(net, images, [layer])[layer].double(), apart.sum(1) / 4)
        halved = distance_to_others(net, images, [layer], group=3)[layer].double()  # images 0, 2, 4 and 1, 3
        torch.testing.assert_close(halved[4], (apart[4, 0] + apart[4, 2]) / 2)
        torch.testing.assert_close(halved[1], apart[1, 3])
    assert distance_to_others(net, images[:1], ["conv1"])["conv1"].isnan().all()


def test_half_of_known_curves():
    away = torch.arange(0, 41, 4.0)
    assert half_distance(away, 3 * away) == pytest.approx(20)  # in proportion: half the range
    assert half_distance(away, 5.0 * (away > 0)) == pytest.approx(2)  # at once: half of the first step
    saturating = 1 - torch.exp(-away / 5)
    assert half_distance(away, saturating) == pytest.approx(5 * math.log(2), abs=0.4)
    assert half_distance(away, saturating * 1000) == pytest.approx(half_distance(away, saturating))
    assert half_distance(away, torch.sin(away / 40 * math.pi)) == pytest.approx(40 / 6, abs=0.3)  # the first crossing


def test_half_of_two_sides_is_their_mean_in_any_order():
    amounts = torch.arange(-10, 11, 1.0)
    heights = torch.where(amounts < 0, -amounts, (2 * amounts).clamp(max=8))  # halves: 5 up, 2 down
    assert half_distance(amounts, heights) == pytest.approx(3.5)
    mixed = torch.randperm(21, generator=torch.Generator().manual_seed(0))
    assert half_distance(amounts[mixed], heights[mixed]) == pytest.approx(3.5)


def test_what_never_moves_has_no_half():
    amounts = torch.tensor([-1.0, 0, 1])
    assert half_distance(amounts, torch.zeros(3)) == math.inf
    assert half_distance(amounts, torch.tensor([0, 0, 4.0])) == math.inf
    assert math.isnan(half_distance(amounts, torch.tensor([1, 0, math.nan])))
    assert math.isnan(half_distance(torch.zeros(1), torch.zeros(1)))  # nothing but the image itself


def swept(distance, predicted=None):
    """A sweep with such distances [N, 5] at the shifts -6, -3, 0, 3, 6."""
    distance = torch.tensor(distance)
    predicted = torch.zeros(distance.shape, dtype=torch.long) if predicted is None else torch.tensor(predicted)
    return Sweep(
        SHIFTS, torch.tensor(SHIFTS.values).double(), {"conv1": distance}, torch.ones_like(distance), predicted
    )


def test_tolerances_compare_with_other_images():
    sweep_of_two = swept([[8.0, 4, 0, 2, 4], [1, 1, 0, 3, 3]])
    (only,) = tolerances(sweep_of_two, {"conv1": torch.tensor([10.0, 4])})
    assert (only.layer, only.transform, only.unit) == ("conv1", "translation", "px")
    assert only.half.tolist() == [3, 1.5]
    assert only.relative.tolist() == pytest.approx([0.3, 0.5]) and only.far.tolist() == pytest.approx([0.6, 0.5])
    (alone,) = tolerances(sweep_of_two, {"conv1": torch.tensor([math.nan, 4])})
    assert alone.relative.isnan().tolist() == [True, False] and alone.half.tolist() == [3, 1.5]


def test_how_far_the_class_stays():
    classes = [[1, 1, 1, 1, 1], [1, 2, 2, 2, 0], [0, 0, 2, 0, 0], [4, 3, 4, 4, 4]]
    assert class_stability(swept([[0.0] * 5] * 4, classes)).tolist() == [6, 3, 0, 3]


def test_what_cannot_be_swept_is_told(net, images):
    with pytest.raises(
        UserError, match=r"no layer conv9 in this net .did you mean conv4\?.; its layers: conv1, pool1, norm1"
    ):
        sweep(net, images, TARGETS, ["conv9"], SHIFTS)
    with pytest.raises(UserError, match="fill=black is unknown; possible: gray, edge, reflect"):
        sweep(net, images, TARGETS, ["conv1"], SHIFTS, "black")
    assert not any(module._forward_hooks for module in net.modules())


def test_a_layer_that_mixes_images_is_told(images):
    net = nn.Sequential(nn.Flatten(0, 1), nn.Flatten(), nn.Linear(SIZE * SIZE, 2)).double()
    with pytest.raises(UserError, match="puts out 30 rows for 10 images; choose one with a row for each"):
        sweep(net, images[:2], torch.zeros(2, dtype=torch.long), ["0"], SHIFTS)
