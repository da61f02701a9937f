import pytest
import torch

from convscope.models.renorm import filter_rms, renormalize_filters_

SHAPES = [(96, 3, 7, 7), (64, 96, 5, 5), (8, 384, 3, 3), (5, 16, 1, 1), (12, 30)]


def filters(shape, dtype=torch.float32):
    """Filters with RMS from 0.02 to 0.2."""
    random = torch.Generator().manual_seed(3)
    weight = torch.randn(shape, generator=random, dtype=dtype)
    return weight * torch.linspace(0.02, 0.2, len(weight), dtype=dtype).view(-1, *[1] * (len(shape) - 1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("last", [False, True])
def test_only_filters_above_the_radius_change_and_they_end_on_it(shape, last):
    weight = filters(shape)
    if last and len(shape) == 4:
        weight = weight.contiguous(memory_format=torch.channels_last)
    before = weight.clone()
    count = renormalize_filters_(weight, 0.1)
    rms = [float(filter.double().pow(2).mean().sqrt()) for filter in before]  # one at a time
    above = [index for index, value in enumerate(rms) if value > 0.1]
    assert int(count) == len(above) and 0 < len(above) < len(weight)
    for index, value in enumerate(rms):
        if index in above:
            torch.testing.assert_close(weight[index], before[index] * (0.1 / value), rtol=1e-5, atol=0)
        else:
            assert torch.equal(weight[index], before[index])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_second_call_changes_nothing(shape, dtype):
    weight = filters(shape, dtype)
    renormalize_filters_(weight, 0.1)
    once = weight.clone()
    assert int(renormalize_filters_(weight, 0.1)) == 0
    assert torch.equal(weight, once)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [*SHAPES, (9, 1, 1, 1)])
def test_filters_of_sixteen_bits_end_on_the_radius_up_to_one_step_of_theirs(shape, dtype):
    weight = filters(shape).to(dtype)
    before = weight.double()
    renormalize_filters_(weight, 0.1)
    step = torch.finfo(dtype).eps
    for original, after in zip(before, weight.double(), strict=True):
        rms = float(original.pow(2).mean().sqrt())
        if rms > 0.1:
            assert 0.1 * (1 - step) < float(after.pow(2).mean().sqrt()) <= 0.1
            torch.testing.assert_close(after, original * (0.1 / rms), rtol=1.01 * step, atol=1e-7)
        else:
            assert torch.equal(after, original)


def test_a_filter_of_many_large_weights_does_not_overflow():
    """The square of 300 overflows float16."""
    weight = torch.full((1, 64, 5, 5), 300.0, dtype=torch.float16)
    assert float(filter_rms(weight)) == 300
    renormalize_filters_(weight, 0.1)
    torch.testing.assert_close(weight.float(), torch.full(weight.shape, 0.1), rtol=1e-3, atol=0)


def test_parameters_keep_their_identity_and_a_zero_filter_stays_zero():
    weight = torch.nn.Parameter(torch.cat([torch.zeros(1, 3, 3, 3), torch.ones(1, 3, 3, 3)]))
    assert int(renormalize_filters_(weight, 0.1)) == 1
    assert weight.requires_grad and weight.is_leaf and weight.grad_fn is None
    assert torch.equal(weight[0], torch.zeros(3, 3, 3))


def test_filter_rms_is_per_filter():
    weight = torch.stack([torch.full((2, 3, 3), 0.5), torch.full((2, 3, 3), -0.25)])
    torch.testing.assert_close(filter_rms(weight), torch.tensor([0.5, 0.25]))
