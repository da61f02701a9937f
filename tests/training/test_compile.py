"""optim.compile: training steps run a compiled net, and everything else sees the net that it was made of."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from convscope.analyses.visualize.about import FeatureConfig
from convscope.errors import UserError
from convscope.models.wrappers import explained_compiling
from training.callbacks.test_failure_checks import RECIPE, images_in, made, run

EVERY = FeatureConfig(None, 2, None, "val")


@pytest.mark.slow
def test_a_compiled_run_that_goes_on_is_an_eager_one(tmp_path, monkeypatch):
    """Dynamo traces the steps; its graphs run without Inductor, which would compile for half a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    data, compiled = images_in(tmp_path), replace(RECIPE, renorm=0.1, compile=True)
    expected, _ = run(made(), data, tmp_path / "eager", replace(compiled, compile=False), 2, EVERY)
    torch._dynamo.utils.counters.clear()
    run(made(), data, tmp_path / "compiled", compiled, 1, EVERY)
    outcome, _ = run(made(), data, tmp_path / "compiled", compiled, 2, EVERY)
    assert torch._dynamo.utils.counters["frames"]["ok"] >= 1
    kept = [torch.load(tmp_path / f"{name}/run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
            for name in ("eager", "compiled")]  # fmt: skip
    assert kept[0].keys() == kept[1].keys() and all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])
    measured = {"seconds", "images_per_second"}
    assert {name: outcome["final"][name] for name in expected["final"].keys() - measured} == {
        name: value for name, value in expected["final"].items() if name not in measured
    }
    tops = [load_file(tmp_path / f"{name}/run/top9/epoch_002.safetensors") for name in ("eager", "compiled")]
    assert all(torch.equal(tops[0][name], tops[1][name]) for name in tops[0])


def test_what_cannot_be_compiled_is_said_and_other_errors_stay():
    from torch._dynamo.exc import TorchDynamoException

    words = r"optim.compile=true: .*no compiler.*; type optim.compile=false"
    with pytest.raises(UserError, match=words), explained_compiling():
        raise TorchDynamoException("no compiler")
    with pytest.raises(RuntimeError, match="of the net"), explained_compiling():
        raise RuntimeError("of the net")
