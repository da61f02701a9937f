import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from convscope.engine.calls import Ref
from convscope.engine.hooks import evaluating
from convscope.engine.trace import PIXELS, trace
from convscope.errors import UserError
from convscope.models.build import build


class Mixed(nn.Module):
    """Functions, methods, modules and operators; a ReLU in place; a layer that runs twice; a skip."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        x = self.act(self.conv(x))
        y = F.max_pool2d(x, 2).relu()
        y = self.act(y * 2)
        y += F.max_pool2d(x, 2)
        return self.last(torch.cat([y], 1))


def names(calls):
    return [call.name for call in calls]


def test_calls_in_any_form_are_recorded():
    net_trace = trace(Mixed(), (3, 8, 8))
    expected = ["conv2d", "relu", "max_pool2d", "relu", "mul", "relu", "max_pool2d", "__iadd__", "cat", "conv2d"]
    assert [name.replace("add_", "__iadd__") for name in names(net_trace.calls)] == expected
    assert net_trace.shapes[net_trace.layers["conv"].output] == (1, 8, 8, 8)
    assert net_trace.shapes[net_trace.layers["last"].output] == (1, 4, 4, 4)
    assert net_trace.layers["act"].runs == 2


def test_a_tensor_changed_in_place_is_another_tensor():
    net_trace = trace(Mixed(), (3, 8, 8))
    conv, relu, pool = net_trace.calls[:3]
    assert conv.inputs == (PIXELS,) and relu.inputs == conv.outputs and pool.inputs == relu.outputs
    assert conv.outputs != relu.outputs
    assert net_trace.layers["conv"].output == conv.outputs[0]


def test_arguments_hold_the_nets_own_weights():
    net = Mixed()
    arguments = trace(net, (3, 8, 8)).calls[0].arguments()
    assert arguments["weight"] is net.conv.weight and arguments["bias"] is net.conv.bias
    assert arguments["input"] == Ref(PIXELS) and arguments["padding"] == (1, 1)


def test_a_call_runs_again_on_other_values():
    net, x = Mixed(), torch.randn(2, 3, 5, 6)
    call = trace(net, (3, 8, 8)).calls[0]
    assert torch.equal(call.again(x), net.conv(x))


def test_the_net_stays_as_it_was():
    net = torchvision.models.resnet18(weights=None).train()
    net.layer1.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    training = [module.training for module in net.modules()]
    trace(net, (3, 64, 64))
    assert [module.training for module in net.modules()] == training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_evaluating_restores_after_an_error():
    net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    with pytest.raises(KeyError), evaluating(net):
        assert not net[0].training
        raise KeyError
    assert net[0].training and not net[1].training


def test_a_net_may_look_at_its_values():
    class Looks(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) < 1 else x

    net_trace = trace(nn.Sequential(Looks(3, 4, 3)), (3, 8, 8))
    assert "conv2d" in names(net_trace.calls) and net_trace.layers["0"].output == net_trace.output


@pytest.mark.parametrize(
    "how",
    [{"stride": 2}, {"padding": "same", "dilation": 2}, {"padding": "valid"}, {"padding": (2, 0), "stride": (3, 1)}],
)
def test_shapes_are_those_of_a_real_pass(how):
    net = nn.Sequential(nn.Conv2d(3, 6, (5, 3), **how), nn.Flatten(2), nn.LazyLinear(7))
    real = net(torch.zeros(1, 3, 15, 18))
    net_trace = trace(net, (3, 15, 18))
    assert net_trace.shapes[net_trace.layers["0"].output] == net[0](torch.zeros(1, 3, 15, 18)).shape
    assert net_trace.shapes[net_trace.layers["2"].output] == real.shape


@pytest.mark.slow
def test_every_kind_of_net_is_traced():
    for name in ("densenet121", "mobilenet_v3_small", "shufflenet_v2_x0_5", "convnext_tiny", "vit_b_16"):
        net = getattr(torchvision.models, name)(weights=None)
        net_trace = trace(net, (3, 224, 224))
        convolutions = [path for path, module in net.named_modules() if isinstance(module, nn.Conv2d)]
        assert set(convolutions) <= set(net_trace.layers), name


@pytest.mark.slow
def test_timm_nets_are_traced():
    timm = pytest.importorskip("timm")
    net_trace = trace(timm.create_model("nfnet_l0", pretrained=False), (3, 64, 64))
    assert "stem.conv1" in net_trace.layers


def test_calls_of_a_row_net():
    layers = {
        "conv1": {"kind": "conv", "maps": 8, "kernel": 3},
        "norm1": {"kind": "lrn", "size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2},
        "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
        "fc2": {"kind": "full", "units": "classes"},
    }
    net_trace = trace(build(layers, 16, 5), (3, 16, 16))
    below = ["conv2d", "relu_", "local_response_norm", "max_pool2d"]
    assert names(net_trace.calls)[:4] == below and names(net_trace.calls)[-2:] == ["flatten", "linear"]


class Twice(nn.Module):
    """Returns what a layer put out, though another call follows it; or two tensors."""

    def __init__(self, both):
        super().__init__()
        self.conv, self.both = nn.Conv2d(3, 4, 3), both

    def forward(self, x):
        y = self.conv(x)
        z = y + 1
        return (y, z) if self.both else y


def test_the_output_is_what_the_net_returns():
    net_trace = trace(Twice(both=False), (3, 8, 8))
    assert net_trace.output == net_trace.layers["conv"].output != net_trace.calls[-1].outputs[0]
    assert trace(Twice(both=True), (3, 8, 8)).output is None


def test_unknown_layer_lists_the_layers():
    net_trace = trace(Mixed(), (3, 8, 8))
    with pytest.raises(
        UserError, match=r"no layer conv9 in this net \(did you mean conv\?\); its layers: conv, act, last"
    ):
        net_trace.layer("conv9")


def test_unknown_layer_of_a_deep_net_names_the_nearest():
    net_trace = trace(torchvision.models.densenet121(weights=None), (3, 64, 64))
    with pytest.raises(UserError, match=r"its layers: .*features\.conv0.* and \d+ more"):
        net_trace.layer("feature.conv0")


def test_a_layer_that_runs_twice_has_no_single_map():
    net_trace = trace(torchvision.models.resnet18(weights=None), (3, 64, 64))
    with pytest.raises(UserError, match=r"layer layer1.0.relu runs 2 times in one pass.*choose a layer that runs once"):
        net_trace.layer("layer1.0.relu")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_module_is_one_call():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), torch.jit.script(nn.ReLU()), torch.jit.script(nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU()))
    )
    net_trace = trace(net, (3, 8, 8))
    assert names(net_trace.calls) == ["conv2d", "relu", "sequential"]
    assert net_trace.layers["1"].runs == 1 and net_trace.shapes[net_trace.layers["2"].output] == (1, 2, 6, 6)


def test_a_call_has_the_module_that_owns_it():
    net_trace = trace(nn.Sequential(Mixed(), nn.Sequential(nn.ReLU())), (3, 8, 8))
    assert net_trace.owners[:4] == ("0.conv", "0.act", "0", "0") and net_trace.owners[-1] == "1.0"
    assert net_trace.layers["0.last"].input == net_trace.calls[net_trace.owners.index("0.last")].inputs[0]
