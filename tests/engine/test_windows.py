import pytest
import torch
from torch import nn

from convscope.engine.calls import Window, window_of
from convscope.engine.trace import trace


@pytest.mark.parametrize(
    "module, expected",
    [
        (nn.Conv2d(3, 4, (3, 5), 2, (1, 0), (2, 1)), Window((3, 5), (2, 2), (1, 0), (2, 1))),
        (nn.Conv2d(3, 4, 5, padding="same", dilation=2), Window((5, 5), (1, 1), (4, 4), (2, 2))),
        (nn.Conv2d(3, 4, 3, padding="valid"), Window((3, 3), (1, 1), (0, 0), (1, 1))),
        (nn.MaxPool2d(3, 2, 1, dilation=2), Window((3, 3), (2, 2), (1, 1), (2, 2))),
        (nn.MaxPool2d((2, 3)), Window((2, 3), (2, 3), (0, 0), (1, 1))),
        (nn.AvgPool2d(4, padding=2), Window((4, 4), (4, 4), (2, 2), (1, 1))),
        (nn.ReLU(), None),
    ],
)
def test_windows_of_calls(module, expected):
    net_trace = trace(nn.Sequential(module), (3, 30, 30))
    assert window_of(net_trace.calls[-1], net_trace.shapes) == expected


def test_what_a_window_sees_is_the_input_of_a_convolution_without_padding():
    shape = Window((3, 5), (2, 3), (9, 9), (4, 1))
    rows, cols = shape.below((7, 6))
    conv = nn.Conv2d(1, 1, shape.kernel, shape.stride, 0, shape.dilation)
    assert conv(torch.zeros(1, 1, rows, cols)).shape[2:] == (7, 6)
    assert conv(torch.zeros(1, 1, rows - 1, cols)).shape[2:] == (6, 6)
