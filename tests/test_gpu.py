"""What has to hold on a GPU, on the device that CONVSCOPE_DEVICE names; `make test` takes the CPU, `make gpu` cuda."""

import os
import re

import pytest
import torch
from torch import nn

from conftest import ROOT, python
from convscope.analyses.occlusion.compute import Occluder, occlude
from convscope.analyses.visualize.compute import Top9
from convscope.engine.deconvnet import Units, project
from convscope.engine.top9_search import Search
from convscope.models.build import build, he_
from convscope.models.lrn import fused_kernel, local_response_norm
from training.callbacks.test_drawing_beside import train, written

LAYERS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 5, "stride": 2, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2, "ceil": True},
    "norm1": {"kind": "lrn", "size": 5, "alpha": 0.01, "beta": 0.75, "k": 2},
    "conv2": {"kind": "conv", "maps": 12, "kernel": 3, "padding": 1},
    "fc3": {"kind": "full", "units": "classes"},
}


@pytest.fixture(name="device")
def named_device():
    """The device, with exact float32."""
    device = torch.device(os.environ.get("CONVSCOPE_DEVICE", "cuda"))
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device; CONVSCOPE_DEVICE=cpu runs this on a CPU")
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield device
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
@pytest.mark.parametrize("constants", [(5, 1e-4, 0.75, 2.0), (4, 0.1, 0.6, 1.0)])
def test_normalization(device, constants, dtype, rounding, layout):
    draw, (size, alpha, beta, k) = torch.Generator().manual_seed(0), constants
    values = torch.randn(3, 96, 5, 7, generator=draw) * 100
    x = values.to(device, dtype).contiguous(memory_format=layout).requires_grad_()
    down = torch.randn(3, 96, 5, 7, generator=draw)
    normed = local_response_norm(x, *constants)
    gradient = torch.autograd.grad(normed, x, down.to(device, dtype))[0]
    exact = x.detach().double().cpu().contiguous().requires_grad_()
    expected = nn.LocalResponseNorm(size, alpha * size, beta, k)(exact)
    assert device.type != "cuda" or fused_kernel(x.device) is not None
    torch.testing.assert_close(normed.double().cpu(), expected, rtol=rounding, atol=rounding)
    expected = torch.autograd.grad(expected, exact, down.to(dtype).double())[0]
    torch.testing.assert_close(gradient.double().cpu(), expected, rtol=rounding, atol=rounding)


@pytest.mark.gpu
def test_searches_projections_and_occlusion_are_those_of_float64_on_the_cpu(device):
    torch.manual_seed(0)
    net, images = build(LAYERS, 32, 7).eval(), torch.randn(20, 3, 32, 32) * 58
    he_(net)

    def looked(net, images):
        """The nine strongest of conv2, one projection of each of its maps, and an occluded image."""
        with Search(net, ["conv2"]) as search, torch.inference_mode():
            for part in torch.arange(20).split(8):
                search.watch(part)
                net(images[part[0] : part[-1] + 1])
        top = search.top["conv2"]
        units = Units(top.image[:, 0].cpu(), torch.arange(12), top.row[:, 0].cpu(), top.col[:, 0].cpu())
        projections = project(net, images, "conv2", units)
        return top, projections, occlude(net, images[0], "conv2", 0, 3, Occluder(7, 5))

    exact = looked(net.double(), images.double())
    ours = looked(net.float().to(device), images.to(device))
    top, exact_top = (Top9(*(field.double().cpu() for field in record)) for record in (ours[0], exact[0]))
    assert torch.equal(top.image, exact_top.image) and torch.equal(top.row, exact_top.row)
    torch.testing.assert_close(top.score, exact_top.score, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ours[1].double().cpu(), exact[1], rtol=1e-5, atol=1e-5 * float(exact[1].abs().max()))
    torch.testing.assert_close(ours[2].probability.double(), exact[2].probability, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours[2].probable, exact[2].probable)


@pytest.mark.gpu
@pytest.mark.slow
def test_a_resumed_run_equals_an_unbroken_one_to_the_last_bit(device, tmp_path):
    settings = {"accelerator": "cpu" if device.type == "cpu" else "gpu", "precision": "bf16-mixed"}
    settings |= {"deterministic": "warn"}
    train(tmp_path / "whole", tmp_path, 2, **settings)
    train(tmp_path / "parts", tmp_path, 1, **settings)
    train(tmp_path / "parts", tmp_path, 2, **settings)
    torch.use_deterministic_algorithms(False)
    files = [written(tmp_path / name) | {"index.jsonl": None} for name in ("whole", "parts")]  # parts has ended twice
    assert files[0] == files[1]
    paths = (tmp_path / name / "checkpoints/last.ckpt" for name in ("whole", "parts"))
    whole, parts = (torch.load(path, map_location="cpu", weights_only=True)["state_dict"] for path in paths)
    assert all(torch.equal(weight, parts[name]) for name, weight in whole.items())


@pytest.mark.slow
def test_the_script_of_measurements_runs_small_and_its_values_are_right():
    ended = python(ROOT / "benchmarks/gpu.py", cwd=ROOT, CONVSCOPE_DEVICE="cpu", CONVSCOPE_DATA="")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, *lines = ended.stdout.splitlines()
    assert first.startswith("on cpu")
    results = [re.fullmatch(r"(.+?)  (\S+)  goal (?:(at most|at least) )?(\S+)(?:  (.+))?", text) for text in lines]
    assert all(results) and len(results) >= 20, ended.stdout
    right = {found[1]: float(found[2]) <= float(found[4]) for found in results if "difference" in found[1]}
    assert len(right) == 7 and all(right.values()), ended.stdout
