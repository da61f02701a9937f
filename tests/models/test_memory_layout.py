"""Weights channels last in nets of others, nets that refuse such images, and what an older run's optimizer brings."""

import copy

import pytest
import torch
from torch import nn

from convscope.models.memory_layout import align_state_, channels_last_
from convscope.models.nets import foreign_net
from convscope.training.recipe import Recipe, build_optimizer


class Viewing(nn.Module):
    """Flattens its maps by `view`, as many tutorials do."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 2)

    def forward(self, x):
        return self.last(torch.relu(self.conv(x)).view(len(x), -1))


def images(side=8):
    return torch.randn(5, 3, side, side).contiguous(memory_format=torch.channels_last)


def test_a_net_that_views_its_maps_gets_images_in_their_own_layout():
    torch.manual_seed(0)
    net, x = Viewing().train(), images()
    expected = net(x.contiguous())
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        net(x)
    assert channels_last_(net, 8) is net and net.training
    assert torch.equal(net(x), expected) and torch.equal(copy.deepcopy(net)(x), expected)
    assert net.conv.weight.is_contiguous()


def test_convolutions_of_others_are_channels_last_and_compute_the_same():
    net = foreign_net({"source": "torchvision", "name": "resnet18", "weights": None}, 32, 3, False).net.eval()
    plain = copy.deepcopy(net)
    for module in plain.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
            module.weight.data = module.weight.data.contiguous()
    x = images(32)
    torch.testing.assert_close(net(x), plain(x.contiguous()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_an_optimizers_state_from_another_layout_stands_beside_its_weights(algorithm):
    """Against a step that is not fused, whose arithmetic knows no layout."""
    recipe, weights = Recipe(algorithm, 0.1, 0.9, 0.0, 2, "constant", 0, 0.0, "he", 0.01, [], None), []
    for resumed in (True, False):
        torch.manual_seed(1)
        net = nn.Conv2d(3, 4, 3)
        optimizers = [build_optimizer(net, recipe, clipped=not resumed)]
        for step in range(2):
            for weight in net.parameters():
                weight.grad = torch.full_like(weight, 0.1 + step).mul_(weight.detach())
            optimizers[-1].step()
            if resumed and not step:
                before = copy.deepcopy(optimizers[-1].state_dict())
                net.weight.data = net.weight.data.contiguous(memory_format=torch.channels_last)
                optimizers.append(build_optimizer(net, recipe))
                optimizers[-1].load_state_dict(before)
                align_state_(optimizers[-1])  # a second time changes nothing
        weights.append(net.weight.detach())
    torch.testing.assert_close(weights[0].contiguous(), weights[1].contiguous(), rtol=1e-5, atol=1e-6)
