"""Random weights for a while: which layers get them, what they are, and that the net has its own again."""

import pytest
import torch
from torch import nn

from convscope.engine.randomization import randomized, weighted_layers
from convscope.engine.trace import trace


class Forked(nn.Module):
    """Two branches to a sum, batch norms, and a head that no map depends on."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)
        self.left, self.right = nn.Conv2d(6, 6, 3, 1, 1), nn.Conv2d(6, 6, 1)
        self.sum_norm, self.head = nn.BatchNorm2d(6), nn.Linear(6, 4)
        nn.init.uniform_(self.norm.weight, 0.5, 2)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = self.sum_norm(self.left(x) + self.right(x)).relu()
        return self.head(x.mean((2, 3)))


def layers_of(net, layer):
    return weighted_layers(net, trace(net, (3, 16, 16)), layer)


def test_layers_go_from_the_layer_itself_down_each_with_the_norms_above_it():
    net = Forked()
    layers = layers_of(net, "sum_norm")
    assert [layer.name for layer in layers] == ["right", "left", "stem"]
    assert [[path for path, _ in layer.modules] for layer in layers] == [
        ["right", "sum_norm"],
        ["left"],
        ["stem", "norm"],
    ]
    assert [layer.name for layer in layers_of(net, "left")] == ["left", "stem"]


def test_the_net_has_its_own_tensors_again_even_after_an_exception():
    net = Forked().train()
    net.left.eval()
    before = [(name, value, value.clone()) for name, value in (*net.named_parameters(), *net.named_buffers())]
    with pytest.raises(ZeroDivisionError), randomized(net, layers_of(net, "sum_norm"), torch.randn(4, 3, 16, 16)):
        assert net.norm.running_mean is not before[-1][1] and net.training and not net.left.training
        raise ZeroDivisionError
    after = dict((*net.named_parameters(), *net.named_buffers()))
    assert all(after[name] is value and torch.equal(value, copy) for name, value, copy in before)
    assert net.training and not net.left.training


def test_filters_are_drawn_with_their_own_size_and_vectors_shuffled():
    net = Forked()
    with torch.no_grad():
        net.left.weight.add_(3.0)  # all positive: what is drawn has mean 0
    learned = {name: value.detach().clone() for name, value in net.named_parameters()}
    with randomized(net, layers_of(net, "sum_norm"), torch.randn(4, 3, 16, 16)):
        drawn = {name: value.detach().clone() for name, value in net.named_parameters()}
    size = learned["left.weight"].square().mean().sqrt()
    assert abs(float(drawn["left.weight"].mean())) < size / 4  # of 324 values
    assert drawn["left.weight"].square().mean().sqrt() == pytest.approx(float(size), rel=0.15)
    assert not torch.equal(drawn["norm.weight"], learned["norm.weight"])
    assert drawn["norm.weight"].sort().values.equal(learned["norm.weight"].sort().values)
    assert drawn["head.weight"].equal(learned["head.weight"])  # not below the layer


def test_a_layer_gets_the_same_weights_whatever_others_are_random_and_others_by_another_seed():
    net, images = Forked(), torch.randn(2, 3, 16, 16)
    layers, drawn = layers_of(net, "sum_norm"), []
    for part, seed in ((layers, 0), (layers[1:2], 0), (layers, 1)):
        with randomized(net, part, images, seed):
            drawn.append(net.left.weight.clone())
    assert drawn[0].equal(drawn[1]) and not drawn[0].equal(drawn[2])


def test_batch_norms_measure_what_comes_to_them():
    """So their outputs have mean bias and standard deviation scale, on these images, as in train mode."""
    net, images, outputs = Forked(), 50 + 9 * torch.randn(8, 3, 16, 16), []
    hooks = [norm.register_forward_hook(lambda *run: outputs.append(run[2])) for norm in (net.norm, net.sum_norm)]
    with randomized(net, layers_of(net, "sum_norm"), images), torch.no_grad():
        outputs.clear()
        net.eval()(images)
        for norm, output in zip((net.norm, net.sum_norm), outputs, strict=True):
            assert torch.allclose(output.mean((0, 2, 3)), norm.bias, atol=1e-4)
            assert torch.allclose(output.std((0, 2, 3)), norm.weight.abs(), rtol=1e-2)
    for hook in hooks:
        hook.remove()


def test_weights_that_a_parametrization_computes():
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU()).eval()
    learned = net[0].weight.clone()
    with randomized(net, layers_of(net, "1"), torch.randn(2, 3, 16, 16)):
        assert not torch.allclose(net[0].weight, learned, atol=1e-3)
    assert net[0].weight.equal(learned)


def test_a_compiled_module_is_one_layer():
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
    net = nn.Sequential(torch.jit.script(inner), nn.ReLU()).eval()
    learned = [value.clone() for value in net.parameters()]
    layers = layers_of(net, "1")
    assert [layer.name for layer in layers] == ["0"]
    with randomized(net, layers, torch.randn(2, 3, 16, 16)):
        assert all(
            not torch.equal(value, was) for value, was in zip(net.parameters(), learned, strict=True) if was.dim() > 1
        )
    assert all(torch.equal(value, was) for value, was in zip(net.parameters(), learned, strict=True))
