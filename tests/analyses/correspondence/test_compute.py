"""Sign changes and their Hamming distances against closed forms for a linear net, loops, and chance."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.analyses.correspondence.compute import (
    BATCH,
    boxes_around,
    compare_signs,
    correspondence,
    cover_parts,
    hamming,
    random_boxes,
    sign_changes,
    signs_by_mask,
)
from convscope.errors import UserError
from convscope.models.build import build
from engine.specimens import LAYERS, photographs, row_net


def random_signs(images, features, chances, seed=0):
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.choice([-1, 0, 1], (images, features), p=chances).astype(np.int8))


def test_hamming_is_what_a_double_loop_counts():
    signs = random_signs(5, 70_001, [0.2, 0.5, 0.3])  # more features than are compared at a time
    pairs = compare_signs(signs)
    for i in range(5):
        for j in range(5):
            first, second = signs[i].tolist(), signs[j].tolist()
            differ = sum(a != b for a, b in zip(first, second, strict=True))
            changed = sum(a != 0 or b != 0 for a, b in zip(first, second, strict=True))
            both = sum(a != 0 and b != 0 for a, b in zip(first, second, strict=True))
            opposite = sum(a * b == -1 for a, b in zip(first, second, strict=True))
            assert (pairs.differ[i, j], pairs.changed[i, j]) == (differ, changed)
            assert hamming(signs)[i, j] == differ / 70_001
            assert pairs.distance_of_changed[i, j] == differ / changed
            assert pairs.opposite[i, j] == opposite / both
    assert pairs.share_changed == pytest.approx((signs != 0).float().mean(1).numpy(), abs=1e-6)


def test_the_order_of_features_says_nothing():
    signs = random_signs(4, 500, [0.3, 0.4, 0.3])
    mixed = signs[:, torch.randperm(500, generator=torch.Generator().manual_seed(0))]
    assert (hamming(mixed) == hamming(signs)).all()


@pytest.mark.parametrize("chances", [[0.5, 0, 0.5], [0.1, 0.7, 0.2], [1 / 3, 1 / 3, 1 / 3]])
def test_noise_agrees_by_chance(chances):
    """Of all features they differ with 1 - sum of squares, one half for two signs; of those changed in both, a half
    where the signs are as probable as each other."""
    pairs = compare_signs(random_signs(6, 50_000, chances))
    down, still, up = chances
    apart = ~np.eye(6, dtype=bool)
    assert pairs.distance[apart] == pytest.approx(1 - down**2 - still**2 - up**2, abs=0.012)
    assert pairs.opposite[apart] == pytest.approx(2 * down * up / (down + up) ** 2, abs=0.02)


def test_where_nothing_changes_there_is_nothing_but_agreement_or_chance():
    pairs = compare_signs(torch.zeros(3, 10, dtype=torch.int8))
    assert not pairs.distance.any() and not pairs.distance_of_changed.any()
    assert (pairs.opposite == 0.5).all() and not pairs.share_changed.any()


class Linear(nn.Module):
    """Features W x of images of 8 pixels."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 64, 40, dtype=torch.float64)

    def forward(self, images):
        return self.layer(images.flatten(1))


def test_a_linear_net_changes_by_its_weights_times_what_was_covered():
    torch.manual_seed(0)
    net, images = Linear(), photographs(3, (8, 8))
    boxes = torch.tensor([[0, 0, 3, 3], [2, 4, 5, 7], [5, 5, 8, 8]])
    signs_of_layer = next(signs_by_mask(net, images, [boxes], ["layer"], value=0.25))["layer"]
    for image, (x0, y0, x1, y1), signs in zip(images, boxes.tolist(), signs_of_layer, strict=True):
        weight = net.layer.weight.detach().view(40, 3, 8, 8)[:, :, y0:y1, x0:x1]
        epsilon = (weight * (image[:, y0:y1, x0:x1] - 0.25)).sum((1, 2, 3))  # W (x - x~), the bias cancels
        assert (signs == epsilon.sign()).all()


def test_the_same_image_covered_alike_agrees_with_itself():
    net, image = row_net(), photographs(1)
    masks = random_boxes((3, 1), 14, 96, seed=0).expand(-1, 4, -1)
    by_layer = correspondence(net, image.expand(4, -1, -1, -1), masks, ["conv1", "conv4", "fc5"])
    for pairs in by_layer.values():
        assert pairs.differ.shape == (3, 4, 4) and not pairs.differ.any() and pairs.changed.any()


def test_the_opposite_change_differs_wherever_it_changes():
    """A linear layer and an image and its negative, covered by 0: epsilon changes its sign."""
    torch.manual_seed(0)
    net, image = Linear(), photographs(1, (8, 8))
    pairs = correspondence(net, torch.cat([image, -image]), random_boxes((4, 1), 3, 8, 0).expand(-1, 2, -1), ["layer"])
    assert (pairs["layer"].opposite[:, 0, 1] == 1).all() and (pairs["layer"].distance[:, 0, 1] == 1).all()


def test_images_beyond_one_batch_and_beyond_what_is_kept_are_the_same_as_alone():
    net = row_net()
    images = photographs(3 * BATCH + 1)
    masks = random_boxes((2, len(images)), 20, 96, seed=1)
    together = list(signs_by_mask(net, images, masks, ["conv3", "fc5"]))
    for number in (0, BATCH, 3 * BATCH):
        alone = list(signs_by_mask(net, images[number : number + 1], masks[:, number : number + 1], ["conv3", "fc5"]))
        for mask in range(2):
            for layer, signs in alone[mask].items():
                assert (signs[0] == together[mask][layer][number]).all()


def test_what_no_square_reaches_is_unchanged_in_float32_too():
    torch.manual_seed(0)
    net = build({name: row for name, row in LAYERS.items() if "5" not in name}, 96, 7).eval()
    images = photographs(5).float()
    boxes = boxes_around(torch.full((5, 2), 10.0), 14, 96)  # columns 3 to 16
    signs = next(signs_by_mask(net, images, [boxes], ["conv1"]))["conv1"].view(5, 8, 46, 46)
    assert not signs[..., 10:].any() and signs[..., :8].any()


def test_rounding_is_no_change():
    plain = torch.tensor([[100.0, 1.0, 0.0]])
    assert sign_changes(plain, plain + torch.tensor([[5e-5, -1e-3, 1e-5]])).tolist() == [[0, 1, 0]]


def test_squares_are_around_their_places_and_inside():
    boxes = boxes_around(torch.tensor([[20.0, 30.0], [0.0, 96.0], [95.5, 2.0]]), 14, 96)
    assert boxes.tolist() == [[13, 23, 27, 37], [0, 82, 14, 96], [82, 0, 96, 14]]
    covered = cover_parts(torch.ones(3, 3, 96, 96), boxes, -2.0)
    assert (covered == -2).sum((1, 2, 3)).tolist() == [3 * 14 * 14] * 3 and (covered[1, :, 82:, :14] == -2).all()


def test_random_squares_reach_every_place_and_follow_the_seed():
    boxes = random_boxes((4000, 2), 3, 10, seed=5)
    assert boxes.shape == (4000, 2, 4) and (boxes[..., 2:] - boxes[..., :2] == 3).all()
    corners = boxes[..., 0] * 8 + boxes[..., 1]
    counts = corners.flatten().bincount(minlength=64)
    assert len(counts) == 64 and counts.min() > 80 and counts.max() < 175  # 125 on average, 11 standard deviation
    assert (corners[:, 0] == corners[:, 1]).float().mean() < 0.05  # a place of its own in each image
    assert torch.equal(boxes, random_boxes((4000, 2), 3, 10, seed=5))
    assert not torch.equal(boxes, random_boxes((4000, 2), 3, 10, seed=6))


def test_what_cannot_be_compared_is_told():
    with pytest.raises(UserError, match="1 image: two or more are needed"):
        correspondence(row_net(), photographs(1), random_boxes((1, 1), 5, 96, 0), ["conv1"])
    with pytest.raises(UserError, match="a mask of 97 pixels in images of 96; it is 1 to 96"):
        boxes_around(torch.zeros(1, 2), 97, 96)
    with pytest.raises(UserError, match="a mask of 0 pixels"):
        random_boxes((1, 1), 0, 96, 0)
    with pytest.raises(UserError, match="part of image 1 at 97, 3 is outside the 96 x 96 pixels"):
        boxes_around(torch.tensor([[3.0, 3.0], [97.0, 3.0]]), 5, 96)
    with pytest.raises(UserError, match="part of image 0 at nan, nan is outside"):
        boxes_around(torch.full((1, 2), torch.nan), 5, 96)
    with pytest.raises(UserError, match=r"no layer conv9 in this net .did you mean conv4\?.; its layers: conv1, pool1"):
        correspondence(row_net(), photographs(2), random_boxes((1, 2), 5, 96, 0), ["conv9"])
