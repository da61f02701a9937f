"""Against projections over the whole image, at borders and in the middle, for fields smaller and larger than it."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from convscope.engine.deconvnet import RULES, Units, project
from convscope.engine.graph import read_graph
from convscope.engine.projection import patches, project_fields
from convscope.engine.receptive_fields import fields
from convscope.engine.trace import trace
from convscope.errors import UserError
from engine.specimens import norm_net, odd_net, photographs, row_net, some_picks


def on_the_image(projection, size):
    """The boxes pasted into whole images, and the boxes with zeros there."""
    height, width = projection.values.shape[2:]
    inside, outside = projection.values.new_zeros(len(projection.values), 3, *size), projection.values.clone()
    for canvas, box, top, left in zip(inside, outside, projection.top.tolist(), projection.left.tolist(), strict=True):
        rows, cols = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
        seen = canvas[:, rows, cols]
        on_image = box[:, rows.start - top :, cols.start - left :][:, : seen.shape[1], : seen.shape[2]]
        seen.copy_(on_image)
        on_image.zero_()
    return inside, outside


def same_as_whole(net, layer, size, rule):
    """Together and one by one, where different parts of the maps are left out."""
    images = photographs(4, size)
    picks = some_picks(net, layer, images)
    expected = project(net, images, layer, picks, rule)
    for chunk in (None, 1):
        inside, outside = on_the_image(project_fields(net, images, layer, picks, rule, chunk), size)
        torch.testing.assert_close(inside, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
        assert not outside.any()


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("image_size", [64, 96, 152])
def test_row_net_at_every_layer(image_size, rule):
    net = row_net(image_size)
    for layer in net.rows:
        same_as_whole(net, layer, (image_size, image_size), rule)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_rows_with_batch_norm_average_pools_and_other_activations(rule):
    net = norm_net(64)
    for layer in net.rows:
        same_as_whole(net, layer, (64, 64), rule)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(61, 83), (40, 200), (33, 35)])
def test_odd_steps_at_every_layer(size, rule):
    net = odd_net()
    for layer in range(len(net)):
        same_as_whole(net, str(layer), size, rule)


class Clamped(nn.Module):
    def forward(self, x):
        return x.clamp(0, 2)


@pytest.mark.parametrize("rule", RULES)
def test_activations_with_an_upper_bound(rule):
    """Many units at their bound, in the projected layer and below it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), Clamped(), nn.Conv2d(6, 4, 3), nn.ReLU6()
    ).double()
    for layer in (0, 3, 5):
        net[layer].weight.data *= 12
    for layer in ("1", "4", "6"):
        same_as_whole(net, layer, (24, 30), rule)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv2", "layer1", "layer2.0.downsample", "layer4"])
def test_branches(layer):
    same_as_whole(torchvision.models.resnet18(weights=None).double(), layer, (64, 80), "guided")


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_uneven_padding_and_computed_filters_are_done_in_the_field():
    class Halved(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight / 2, self.bias)

    for conv in (nn.Conv2d(3, 4, 4, padding="same"), Halved(3, 4, 3)):
        net = nn.Sequential(conv, nn.ReLU()).double()
        same_as_whole(net, "1", (20, 20), "deconvnet")
        assert not read_graph(trace(net, 20)).obstacles


def test_exact_ties_are_broken_alike():
    """Images with large areas of equal value, so that most windows have no single maximum."""
    net, images = row_net(norm1=None, norm2=None), (photographs() > 0).double().round()
    images[:, :, 20:70, 20:70] = 0
    for bias in (net.conv1.bias, net.conv2.bias):
        bias.data.fill_(-0.5)
    picks = some_picks(net, "conv4", images)
    inside, _ = on_the_image(project_fields(net, images, "conv4", picks), (96, 96))
    torch.testing.assert_close(inside, project(net, images, "conv4", picks), rtol=0, atol=1e-12)


def test_boxes_are_the_receptive_fields():
    net, images = row_net(200), photographs(2, (200, 200))
    for layer, field in fields(net, 200).items():
        if field is None or field.rows.size >= 200:
            continue
        picks = some_picks(net, layer, images)
        projection = project_fields(net, images, layer, picks)
        boxes = [field.box(row, col) for row, col in zip(picks.row.tolist(), picks.col.tolist(), strict=True)]
        height, width = projection.values.shape[2:]
        assert [
            (int(t), int(left), height, width) for t, left in zip(projection.top, projection.left, strict=True)
        ] == boxes


def test_a_field_larger_than_the_image_gives_the_whole_image():
    net, images = row_net(64), photographs(2, (64, 64))
    projection = project_fields(net, images, "pool4", some_picks(net, "pool4", images))
    assert projection.values.shape == (8, 3, 64, 64) and not projection.top.any() and not projection.left.any()


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_size_of_a_part_changes_nothing(chunk):
    net, images = row_net(200), photographs(4, (200, 200))
    picks = some_picks(net, "conv4", images, 13)
    expected = project_fields(net, images, "conv4", picks)
    projection = project_fields(net, images, "conv4", picks, chunk=chunk)
    torch.testing.assert_close(
        projection.values, expected.values, rtol=0, atol=1e-12 * float(expected.values.abs().max())
    )
    assert torch.equal(projection.top, expected.top) and torch.equal(projection.left, expected.left)


def test_a_unit_that_sees_only_padding():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1)).double()
    same_as_whole(net, "3", (10, 10), "deconvnet")
    same_as_whole(net, "3", (60, 60), "guided")


def test_single_precision():
    net, images = row_net(200).float(), photographs(4, (200, 200)).float()
    picks = some_picks(net, "conv4", images, 32)
    inside, _ = on_the_image(project_fields(net, images, "conv4", picks), (200, 200))
    expected = project(net.double(), images.double(), "conv4", picks)
    share = (inside - expected).abs().flatten(1).amax(1) / expected.abs().flatten(1).amax(1).clamp(min=1e-30)
    assert share.max() < 2e-6


def test_the_net_and_the_mode_are_left_as_they_were():
    net, images = row_net().train(), photographs(2)
    picks = some_picks(net, "conv3", images)
    expected = project_fields(net, images, "conv3", picks)
    assert net.training and not expected.values.requires_grad
    with torch.inference_mode():
        projection = project_fields(
            net, images.clone(), "conv3", Units(*(field.clone() for field in picks)), "deconvnet"
        )
        guided = project_fields(net, images.clone(), "conv3", picks, "guided")
    assert torch.equal(projection.values, expected.values)
    assert torch.equal(guided.values, project_fields(net, images, "conv3", picks, "guided").values)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_no_picks():
    nothing = Units(*(torch.empty(0, dtype=torch.int64) for _ in range(4)))
    assert project_fields(row_net(), photographs(1), "conv1", nothing).values.shape == (0, 3, 7, 7)


def test_patches_are_the_same_boxes_of_the_images():
    net, images = row_net(200), photographs(2, (200, 200))
    picks = some_picks(net, "conv2", images)
    projection = project_fields(net, images, "conv2", picks)
    pixels = torch.randint(0, 256, (2, 3, 200, 200), dtype=torch.uint8)
    cut = patches(pixels, picks, projection, fill=128)
    wide = F.pad(pixels, [100] * 4, value=128)
    assert cut.dtype == torch.uint8 and cut.shape == projection.values.shape
    for patch, image, top, left in zip(cut, picks.image, projection.top + 100, projection.left + 100, strict=True):
        assert torch.equal(patch, wide[image, :, top : top + cut.shape[2], left : left + cut.shape[3]])


def test_unknown_rule_and_layer():
    net, images = row_net(), photographs(1)
    picks = some_picks(net, "conv1", images)
    with pytest.raises(UserError, match="rule relu is unknown; possible: deconvnet, guided, gradient"):
        project_fields(net, images, "conv1", picks, "relu")
    with pytest.raises(UserError, match="no layer conv9 in this net.*; its layers: conv1"):
        project_fields(net, images, "conv9", picks)
