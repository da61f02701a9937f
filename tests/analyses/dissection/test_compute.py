"""Dissection against numpy by brute force, and nets whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.analyses.dissection.compute import measure_epoch
from convscope.analyses.dissection.compute.counts import NumberedImages, PackedMasks, layer_counts
from convscope.analyses.dissection.compute.detectors import Detectors, detector_counts, detectors, iou_intervals
from convscope.analyses.dissection.compute.thresholds import TopValues
from convscope.analyses.dissection.compute.upsampling import axis_weights
from convscope.data.epoch_images import EpochImages
from convscope.data.part_masks import PartMasks
from convscope.engine.receptive_fields import AxisField
from convscope.errors import UserError


def counted(net, images, masks, layers, quantile=0.995, shuffles=3):
    examined = NumberedImages(len(images), lambda numbers: images[numbers], lambda numbers: masks[numbers])
    return layer_counts({"": net}, examined, PackedMasks(examined, shuffles, 0), layers, quantile)[""]


def squares(count, size, side, seed=0, parts=2):
    """One square of each part in each image [N, P, size, size]."""
    rng, masks = np.random.default_rng(seed), np.zeros((count, parts, size, size), bool)
    for image in masks:
        for mask in image:
            row, col = rng.integers(0, size - side + 1, 2)
            mask[row : row + side, col : col + side] = True
    return masks


def copying_net(colors=3):
    """Its layer "0" shows the colors themselves, "1" a dead map, a constant one and the sum of the colors."""
    net = nn.Sequential(nn.Conv2d(colors, colors, 1, bias=False), nn.Conv2d(colors, 3, 1))
    net[0].weight.data = torch.eye(colors)[..., None, None]
    net[1].weight.data.zero_()
    net[1].weight.data[2] = 1.0
    net[1].bias.data = torch.tensor([0.0, 2.0, 0.0])
    return nn.Sequential(*net, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_shuffled_masks_are_judged_by_the_two_conditions_of_true_ones():
    """Three shuffles, by hand: of four maps, one wins clearly, one by the second part, one twice alike, one nowhere."""
    shuffled = torch.zeros(3, 4, 2, dtype=torch.float64)
    shuffled[:, 0] = torch.tensor([[0.5, 0.1], [0.1, 0.3], [0.2, 0.1]])  # once, of part 0
    shuffled[:, 1] = torch.tensor([[0.1, 0.2], [0.1, 0.4], [0.39, 0.1]])  # once, of part 1
    shuffled[:2, 2, 0] = 0.3  # two shuffles reach the same: neither exceeds the other
    shuffled[:, 3] = 0.04  # not above the threshold
    judged = Detectors(shuffled[0], torch.zeros(4), shuffled[0].amax(1), shuffled, shuffled.amax((0, 2)), torch.ones(4))
    assert judged.shuffled_by_part(0.04).tolist() == [1 / 3, 1 / 3]
    assert judged.above_threshold_shuffled(0.04) == pytest.approx((3 + 3 + 2) / 3)
    alone = judged._replace(shuffled=shuffled[:1])
    assert alone.shuffled_by_part(0.04).tolist() == [2, 1]  # nothing but the threshold judges a single shuffle


@pytest.mark.parametrize("quantile", [0.995, 0.9, 0.123])
@pytest.mark.parametrize("batch", [1, 3, 7])
def test_thresholds_are_those_of_numpy_for_any_batches(quantile, batch):
    maps = torch.randn(7, 5, 6, 9, generator=torch.Generator().manual_seed(0))
    top = TopValues(7 * 6 * 9, quantile)
    for part in maps.split(batch):
        top.add(part)
    expected = np.quantile(maps.numpy().transpose(1, 0, 2, 3).reshape(5, -1), quantile, axis=1)
    np.testing.assert_allclose(top.thresholds(), expected, rtol=1e-5)


def test_a_map_that_nothing_exceeds_has_no_strong_place():
    top = TopValues(2 * 4, 0.5)
    top.add(torch.tensor([0.0, 3.0]).view(1, 2, 1, 1).expand(2, 2, 2, 2))  # a dead map and a constant one
    assert top.thresholds().tolist() == [np.inf, np.inf]


def test_the_enlargement_is_that_of_torch_where_fields_tile_the_image():
    maps = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(1))
    rows, cols = axis_weights(20, 5, None), axis_weights(21, 7, AxisField(3, 3, 0))
    expected = nn.functional.interpolate(maps[None], (20, 21), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(rows @ maps @ cols.T, expected)


def test_each_unit_is_at_the_center_of_its_field():
    """A net with a valid convolution and a stride, whose units see pixels 0-4, 3-7, 6-10: their centers are 2, 5, 8."""
    weights = axis_weights(11, 3, AxisField(5, 3, 0))
    assert weights[[2, 5, 8]].tolist() == np.eye(3).tolist()
    assert weights[0].tolist() == [1, 0, 0] and weights[10].tolist() == [0, 0, 1]
    torch.testing.assert_close(weights[3], torch.tensor([2 / 3, 1 / 3, 0]))


def test_a_map_that_is_the_mask_has_iou_1_and_masks_of_other_images_less():
    masks = squares(12, 30, 2)  # 4 of 900 pixels: fewer than one in 200
    images = torch.zeros(12, 3, 30, 30)
    images[:, :2] = torch.from_numpy(masks).float()
    counts = counted(copying_net(), images, masks, ["0", "1"])
    found = detectors(counts["0"], 0.04)
    assert found.iou[0, 0] == 1 and found.iou[1, 1] == 1 and found.part[:2].tolist() == [0, 1]
    assert found.is_detector.tolist() == [True, True, False]  # the third color is never there
    assert found.by_part.tolist() == [1, 1] and found.null.max() < 0.2
    dead = detectors(counts["1"], 0.0)
    assert not dead.is_detector[:2].any() and dead.iou[:2].sum() == 0


def test_counts_against_brute_force():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images, masks = torch.randn(6, 3, 21, 21), squares(6, 21, 6, parts=3)
    counts, quantile = counted(net, images, masks, ["1"], 0.8)["1"], 0.8
    with torch.no_grad():
        maps = net[1](net[0](images)).numpy()  # [6, 4, 9, 9], centers at 2, 4, ..., 18
    limits = np.quantile(maps.transpose(1, 0, 2, 3).reshape(4, -1), quantile, axis=1)
    enlarged = np.zeros((6, 4, 21, 21))
    for y in range(21):
        for x in range(21):
            v, u = np.clip((y - 2) / 2, 0, 8), np.clip((x - 2) / 2, 0, 8)
            top, left = min(int(v), 7), min(int(u), 7)
            b, a = v - top, u - left
            corner = maps[:, :, top : top + 2, left : left + 2]
            enlarged[:, :, y, x] = (
                (1 - b) * ((1 - a) * corner[..., 0, 0] + a * corner[..., 0, 1])
                + b * ((1 - a) * corner[..., 1, 0] + a * corner[..., 1, 1])
            )  # fmt: skip
    strong = enlarged > limits[:, None, None]
    both = (strong[:, :, None] & masks[:, None]).sum((3, 4))
    assert counts.strong.tolist() == strong.sum((2, 3)).tolist()
    assert counts.both.tolist() == both.tolist()
    assert counts.part.tolist() == masks.sum((2, 3)).tolist()
    either = (strong[:, :, None] | masks[:, None]).sum((0, 3, 4))
    np.testing.assert_allclose(detectors(counts, 0.04).iou, both.sum(0) / either)
    np.testing.assert_allclose(counts.peak, maps.max((2, 3)), rtol=1e-6)
    donors = PackedMasks(NumberedImages(6, None, lambda numbers: masks[numbers]), 3, 0).donors
    assert (donors != np.arange(6)).all() and (np.sort(donors) == np.arange(6)).all()
    shuffled = [(strong[:, :, None] & masks[order][:, None]).sum((0, 3, 4)) for order in donors]
    assert counts.shuffled.tolist() == np.array(shuffled).tolist()


def test_maps_of_noise_are_no_detectors():
    """Their IoU exceeds that with masks of other images about as often as chance has it: one time in S + 1."""
    torch.manual_seed(0)
    images, masks = torch.randn(24, 64, 16, 16), squares(24, 16, 5)
    found = detectors(counted(copying_net(64), images, masks, ["0"], 0.9, shuffles=9)["0"], 0.0)
    assert found.is_detector.float().mean() < 0.3
    assert abs(found.shuffled.mean() - found.iou.mean()) < 0.01


def test_the_interval_of_an_iou_is_that_of_the_bootstrap():
    torch.manual_seed(1)
    images, masks = torch.randn(40, 3, 12, 12), squares(40, 12, 5)
    images[:, 0] += 2 * torch.from_numpy(masks[:, 1]).float()
    counts = counted(copying_net(), images, masks, ["0"], 0.9)["0"]
    found = detectors(counts, 0.04)
    low, high = iou_intervals(counts, found.part)
    rng, samples = np.random.default_rng(0), []
    for _ in range(2000):
        drawn = rng.integers(0, 40, 40)
        both = counts.both[drawn, 0, 1].sum()
        samples.append(both / (counts.strong[drawn, 0].sum() + counts.part[drawn, 1].sum() - both))
    assert [low[0], high[0]] == pytest.approx(np.quantile(samples, [0.025, 0.975]), abs=0.02)
    assert found.part[0] == 1


def test_the_numbers_of_detectors_have_intervals():
    masks = squares(12, 30, 2)
    images = torch.zeros(12, 3, 30, 30)
    images[:, 0] = torch.from_numpy(masks[:, 0]).float()
    images[:1, 1] = torch.from_numpy(masks[:1, 1]).float()  # one image alone, which not every sample has
    counts = counted(copying_net(), images, masks, ["0"])["0"]
    maps, parts = detector_counts(counts, detectors(counts, 0.04), 0.04, 0)
    assert maps.n == parts.n == 12
    assert maps.value == parts.value == 2 and maps.low < 1.5
    assert (maps.high, parts.high) == (3, 2)  # of three maps and two parts


def test_epochs_count_detectors_of_layers_with_maps_where_parts_are_known():
    masks = squares(12, 30, 2)
    images = torch.zeros(12, 3, 30, 30)
    images[:, :2] = torch.from_numpy(masks).float()
    label = torch.zeros(12, dtype=torch.int64)
    known = EpochImages(images, images.byte(), label, label, PartMasks(["a", "b"], torch.from_numpy(masks)))
    columns, memory = measure_epoch(copying_net(), known, ["0", "3"], {})
    assert columns == {"detectors/0": 2.0} and memory == {}
    assert measure_epoch(copying_net(), known._replace(parts=None), ["0"], {}) == ({}, {})


def test_a_layer_without_maps_and_a_single_image_are_refused():
    masks, images = squares(3, 12, 2), torch.zeros(3, 3, 12, 12)
    with pytest.raises(UserError, match="layer 3 outputs 3 for an image, which are no maps"):
        counted(copying_net(), images, masks, ["3"])
    with pytest.raises(UserError, match="1 image: two or more"):
        counted(copying_net(), images[:1], masks[:1], ["0"])
