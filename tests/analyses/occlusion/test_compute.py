import copy
import math

import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from convscope.analyses.occlusion.compute import (
    Occluded,
    Occluder,
    check_occluder,
    default_occluder,
    occlude,
    occlude_fully,
    occluded_copies,
    occluder_edges,
    projection_change,
    strongest_map,
)
from convscope.engine.deconvnet import Units, project
from convscope.errors import UserError
from engine.specimens import photographs, row_net

FIELDS = Occluded._fields[:5]


def torn_net(image):
    """Undecided for the image as it is, so that its probabilities depend strongly on what is covered."""
    net = row_net()
    with torch.no_grad():
        net.fc6.weight.mul_(100)
        net.fc6.bias.sub_(net(image[None])[0])
    return net


class Tokens(nn.Module):
    """Attention in small: patches become a sequence."""

    def __init__(self):
        super().__init__()
        self.patches, self.encoder, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def by_hand(net, image, layer, map_, target, square):
    """Covers and runs one image at a time."""
    outputs = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, args, output: outputs.append(output.clone()))
    rows = []
    for top in occluder_edges(image.shape[1], square):
        rows.append([])
        for left in occluder_edges(image.shape[2], square):
            covered_image = image.clone()
            for row in range(top, top + square.size):
                for col in range(left, left + square.size):
                    covered_image[:, row, col] = square.value
            with torch.no_grad():
                logits = net(covered_image[None])[0]
            weights = (logits - logits.max()).exp()
            map_of_layer = outputs.pop()[0, map_]
            map_of_layer = map_of_layer if map_of_layer.dim() else map_of_layer[None, None]
            place = divmod(int(map_of_layer.argmax()), map_of_layer.shape[1])
            rows[-1].append(
                ((weights / weights.sum())[target], logits.argmax(), map_of_layer.sum(), *map(torch.tensor, place))
            )
    hook.remove()
    values = zip(*[zip(*row, strict=True) for row in rows], strict=True)
    return [torch.stack([torch.stack(list(line)) for line in value]) for value in values]


def one_pixel_net(row, col, weight=3.0):
    """Two classes; the second one's score is `weight` times one pixel's first color."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.Flatten(), nn.Linear(12 * 10, 2, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
        net[2].weight.zero_()[1, row * 10 + col] = weight
    return net.eval()


def test_the_default_square_is_32_and_8_at_224():
    assert default_occluder(224) == Occluder(32, 8, 0.0)
    for size in range(1, 300):
        check_occluder(default_occluder(size), size)


@pytest.mark.parametrize("size", [0, -3, 97])
def test_a_square_that_does_not_fit(size):
    with pytest.raises(UserError, match=f"square of {size} pixels .* image of 96; .* 1 to 96, e.g. occlude.size=14"):
        check_occluder(Occluder(size, 1), 96)


def test_a_square_that_does_not_move():
    with pytest.raises(UserError, match="cannot move by 0 pixels; .* e.g. occlude.stride=5"):
        check_occluder(Occluder(20, 0), 96)


@pytest.mark.parametrize(
    "size, square, expected",
    [
        (12, Occluder(4, 4), [0, 4, 8]),
        (12, Occluder(4, 3), [0, 3, 6, 8]),  # the last one flush with the far border
        (12, Occluder(12, 5), [0]),
        (5, Occluder(1, 2), [0, 2, 4]),
        (10, Occluder(3, 100), [0, 7]),
    ],
)
def test_places(size, square, expected):
    assert occluder_edges(size, square) == expected


def test_places_cover_every_pixel_where_squares_touch():
    for size in range(6, 30):
        for stride in range(1, 6):
            covered_pixels = {
                pixel for edge in occluder_edges(size, Occluder(5, stride)) for pixel in range(edge, edge + 5)
            }
            assert covered_pixels == set(range(size))


def test_covered():
    image = photographs(1, (9, 7))[0]
    images = occluded_copies(image, Occluder(3, 1, value=2.5), torch.tensor([0, 6, 2]), torch.tensor([4, 0, 2]))
    for copy_, top, left in zip(images, (0, 6, 2), (4, 0, 2), strict=True):
        expected = image.clone()
        expected[:, top : top + 3, left : left + 3] = 2.5
        assert torch.equal(copy_, expected)


@pytest.mark.parametrize("layer", ["conv1", "conv4", "pool4", "fc5"])
@pytest.mark.parametrize("how", [occlude, occlude_fully])
def test_against_one_image_at_a_time(layer, how):
    image, square = photographs(1)[0], Occluder(37, 23, 0.7)
    net = torn_net(image)
    occluded = how(net, image, layer, 3, 2, square, 7)
    assert occluded.incremental == (how is occlude) and occluded.why == ""
    for name, expected in zip(FIELDS, by_hand(net, image, layer, 3, 2, square), strict=True):
        torch.testing.assert_close(getattr(occluded, name), expected, rtol=1e-10, atol=1e-10, msg=name)
    assert occluded.probability.std() > 0.01 and occluded.row.shape == (4, 4)


def test_only_squares_over_the_one_pixel_count():
    image = photographs(1, (12, 10))[0]
    row, col, square = 7, 3, Occluder(3, 2, 0.25)
    net = one_pixel_net(row, col)
    occluded = occlude(net, image, "0", 0, 1, square)
    tops, lefts = (torch.tensor(occluder_edges(size, square)) for size in (12, 10))
    over = ((tops <= row) & (row < tops + 3))[:, None] & ((lefts <= col) & (col < lefts + 3))
    score = torch.where(over, 0.25, image[0, row, col])
    torch.testing.assert_close(occluded.probability, 1 / (1 + (-3 * score).exp()), rtol=0, atol=1e-12)
    assert torch.equal(occluded.probable, (score > 0).long())
    assert 0 < over.sum() < over.numel()


def test_against_captum():
    """Squares side by side, so that Captum's attribution is the drop of the probability at each of them."""
    image = photographs(1)[0]
    net = torn_net(image)
    occluded = occlude(net, image, "conv4", 0, 4, Occluder(16, 16))
    peer = nn.Sequential(net, nn.Softmax(1))
    drop = Occlusion(peer).attribute(image[None], (3, 16, 16), (3, 16, 16), 0.0, 4, perturbations_per_eval=5)
    with torch.no_grad():
        uncovered = peer(image[None])[0, 4]
    peer_probability = uncovered - drop[0, 0, ::16, ::16]  # Captum answers in float32
    torch.testing.assert_close(occluded.probability, peer_probability, rtol=0, atol=1e-7, check_dtype=False)
    assert occluded.probability.std() > 0.005


def test_strongest_map():
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 16, 3))
    nn.init.zeros_(net[0].weight)
    net[0].weight.data[:, 0, 0, 0] = torch.tensor([1.0, -9.0, 2.0, -3.0])
    image = torch.rand(3, 4, 4) + 1
    assert strongest_map(net, image, "1") == 2
    assert strongest_map(net, -image, "0") == 1  # before the next layer rectifies it in place
    assert strongest_map(net, image, "3") == net(image[None]).argmax()


def test_the_net_is_left_as_it_was():
    net = row_net().train()
    before = copy.deepcopy(net.state_dict())
    image = photographs(1)[0]
    pixels = image.clone()
    occluded = occlude(net, image, "conv4", 1, 1, Occluder(40, 30))
    projection_change(net, image, "conv4", 1, Occluder(40, 30), occluded)
    assert torch.equal(image, pixels) and all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(value.is_inference() for value in occluded[:5])


@pytest.mark.parametrize("how", [occlude, occlude_fully])
def test_problems(how):
    net, image = row_net(), photographs(1)[0]
    with pytest.raises(UserError, match="layer conv4 has no map 10; its maps are 0 to 9"):
        how(net, image, "conv4", 10, 0, Occluder(40, 40))
    with pytest.raises(UserError, match="no class 7 in what the net puts out for an image, 7; classes count from 0"):
        how(net, image, "conv4", 1, 7, Occluder(40, 40))
    with pytest.raises(UserError, match="no layer conv9 in this net"):
        how(net, image, "conv9", 1, 1, Occluder(40, 40))
    with pytest.raises(UserError, match="square of 97 pixels does not fit"):
        how(net, image, "conv4", 1, 1, Occluder(97, 40))
    with pytest.raises(UserError, match="no class 0 in what the net puts out for an image, 4 x 96 x 96"):
        how(nn.Sequential(nn.Conv2d(3, 4, 1)).double(), image, "0", 1, 0, Occluder(97 // 2, 40))


def test_tokens_are_no_maps():
    net = Tokens().eval()
    with pytest.raises(UserError, match="layer encoder puts out 4 x 8, which are no maps; choose a convolution"):
        strongest_map(net, torch.zeros(3, 16, 16), "encoder")
    with pytest.raises(UserError, match="layer encoder puts out 4 x 8, which are no maps"):
        occlude(net, torch.zeros(3, 16, 16), "encoder", 0, 0, Occluder(8, 8))


def test_projection_of_a_filter_only_moves():
    """One linear convolution: a projection is the filter, at the strongest place, whatever else is covered."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.Flatten(), nn.Linear(2 * 64, 2)).double().eval()
    image = torch.zeros(3, 10, 10, dtype=torch.float64)
    pattern = net[0].weight[1].detach()
    image[:, 0:3, 0:3], image[:, 6:9, 6:9] = 2 * pattern, pattern
    square = Occluder(5, 5)
    occluded = occlude(net, image, "0", 1, 0, square)
    change = projection_change(net, image, "0", 1, square, occluded, batch=3)
    expected = torch.tensor([[math.sqrt(2), 0], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(change, expected)


def test_projection_change_against_whole_projections():
    net, image, square = row_net(), photographs(1)[0], Occluder(40, 28)
    map_ = strongest_map(net, image, "conv4")
    occluded = occlude(net, image, "conv4", map_, 0, square)

    def whole(pixels):
        hooked = []
        hook = net.conv4.register_forward_hook(lambda module, args, output: hooked.append(output[0, map_].clone()))
        with torch.no_grad():
            net(pixels[None])
        hook.remove()
        row, col = divmod(int(hooked[0].argmax()), hooked[0].shape[1])
        picks = Units(*(torch.tensor([value]) for value in (0, map_, row, col)))
        return project(net, pixels[None], "conv4", picks)[0] * (hooked[0].max() > 0)

    before = whole(image)
    change = projection_change(net, image, "conv4", map_, square, occluded, batch=4)
    for i, top in enumerate(occluder_edges(96, square)):
        for j, left in enumerate(occluder_edges(96, square)):
            covered_image = image.clone()
            covered_image[:, top : top + 40, left : left + 40] = 0
            expected = (whole(covered_image) - before).norm() / before.norm()
            torch.testing.assert_close(change[i, j], expected, rtol=1e-10, atol=1e-10)
    assert change.min() < 0.5 < change.max()


def test_projection_change_without_activity():
    """Covering the only bright spot leaves nothing to project; without it there is nothing to compare with."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)).eval()
    nn.init.ones_(net[0].weight)
    image = torch.zeros(3, 6, 6)
    image[:, 1, 1] = 1
    square = Occluder(3, 3)
    occluded = occlude(net, image, "1", 0, 0, square)
    assert projection_change(net, image, "1", 0, square, occluded).tolist() == [[1, 0], [0, 0]]
    dark = occlude(net, image * 0, "1", 0, 0, square)
    assert projection_change(net, image * 0, "1", 0, square, dark).isnan().all()
