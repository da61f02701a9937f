"""Nets and units for the tests of this folder."""

import torch
from torch import nn

from convscope.engine.deconvnet import Units
from convscope.models.build import build

LAYERS = {  # ZFNet in small: overlapping pools, padding, contrast normalization
    "conv1": {"kind": "conv", "maps": 8, "kernel": 7, "stride": 2, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2, "padding": 1},
    "norm1": {"kind": "lrn", "size": 5, "alpha": 0.1, "beta": 0.75, "k": 2},
    "conv2": {"kind": "conv", "maps": 12, "kernel": 5, "stride": 2, "towers": 2},
    "pool2": {"kind": "pool", "kernel": 3, "stride": 2, "ceil": True},
    "norm2": {"kind": "lrn", "size": 5, "alpha": 0.1, "beta": 0.75, "k": 2},
    "conv3": {"kind": "conv", "maps": 16, "kernel": 3, "padding": 1},
    "conv4": {"kind": "conv", "maps": 10, "kernel": 3, "padding": 1},
    "pool4": {"kind": "pool", "kernel": 3, "stride": 2},
    "fc5": {"kind": "full", "units": 20, "dropout": 0.5},
    "fc6": {"kind": "full", "units": "classes"},
}


def row_net(image_size=96, **without):
    """The rows above in float64, with filters of both signs and biases that leave units off; norm1=None drops a row."""
    torch.manual_seed(0)
    net = build(LAYERS | without, image_size, 7).double().eval()
    for parameter in net.parameters():
        parameter.data = torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 0.3)
    return net


def norm_net(image_size=64, **without):
    """Rows with batch norm of other statistics than 0 and 1, an average pool, and every activation, in float64."""
    torch.manual_seed(0)
    conv = {"kind": "conv", "kernel": 3, "padding": 1}
    rows = {
        "conv1": {**conv, "maps": 8, "kernel": 5, "stride": 2, "batch_norm": True},
        "pool1": {"kind": "pool", "kernel": 3, "stride": 2, "padding": 1},
        "conv2": {**conv, "maps": 12, "towers": 2, "batch_norm": True, "activation": "silu"},
        "pool2": {"kind": "avg_pool", "kernel": 3, "stride": 2, "padding": 1},
        "conv3": {**conv, "maps": 10, "padding": 0, "batch_norm": True, "activation": "leaky_relu"},
        "conv4": {**conv, "maps": 6, "activation": "gelu"},
        "mean5": {"kind": "global_avg_pool"},
        "fc6": {"kind": "full", "units": "classes"},
    }
    net = build(rows | without, image_size, 7).double().eval()
    for name, value in net.state_dict().items():
        if name.endswith(("running_var", "norm.weight")):
            value.uniform_(0.5, 2)
        elif value.is_floating_point():
            value.copy_(torch.randn(value.shape) * (0.2 if value.dim() > 1 else 0.3))
    return net


def odd_net():
    """A chain of odd sizes: unequal axes, groups, dilation, batch normalization, other activations."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 2, 2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.Conv2d(8, 12, (3, 5), (1, 2), (1, 3), (2, 1), groups=4), nn.GELU(), nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.Dropout(), nn.LocalResponseNorm(5), nn.Conv2d(12, 10, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(3, 1, 1),
        nn.Conv2d(10, 6, 4, 3, 5, groups=2), nn.LeakyReLU(0.1),
    )  # fmt: skip
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    return net.double().eval()


def photographs(count=4, size=(96, 96), seed=0):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def maps_of(net, layer, images):
    """The layer's output [N, C, h, w], before a call above changes it in place."""
    outputs = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, args, output: outputs.append(output.clone()))
    with torch.no_grad():
        net(images.clone())
    hook.remove()
    return outputs[0] if outputs[0].dim() == 4 else outputs[0][:, :, None, None]


def some_picks(net, layer, images, count=8, seed=0):
    """Random units, with the corners of the map."""
    images_count, maps, height, width = maps_of(net, layer, images).shape
    draw = torch.Generator().manual_seed(seed)
    limits = (images_count, maps, height, width)
    picks = Units(*(torch.randint(0, limit, (count,), generator=draw) for limit in limits))
    picks.row[:4] = torch.tensor([0, 0, height - 1, height - 1])
    picks.col[:4] = torch.tensor([0, width - 1, 0, width - 1])
    return picks


class OwnRectification(torch.autograd.Function):
    """A ReLU whose calls Python does not see, with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal):
        return signal * (ctx.saved_tensors[0] > 0)
