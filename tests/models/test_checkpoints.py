import pickle

import pytest
import torch

from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.checkpoints import describe, load_weights_, net_weights, read_checkpoint, rebuild

LAYERS = {
    "conv1": {"kind": "conv", "maps": 100, "kernel": 5, "stride": 2, "bias": 1},
    "norm1": {"kind": "lrn", "size": 5, "alpha": 0.01, "beta": 0.75, "k": 2},
    "gone": None,
    "fc2": {"kind": "full", "units": 40},
    "fc3": {"kind": "full", "units": "classes"},
}


@pytest.fixture
def net():
    return build(LAYERS, 16, 4, width=0.25)


@pytest.fixture
def saved(net, tmp_path):
    """A checkpoint of a training run, with the parts that these tests need."""
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    state["val_hits.total"] = torch.ones(1)
    torch.save({"convscope": {"net": describe(net), "epoch": 3}, "state_dict": state}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_net_comes_back_from_its_checkpoint(net, saved):
    checkpoint = read_checkpoint(saved)  # loads with weights_only=True
    again = rebuild(checkpoint["convscope"]["net"])
    load_weights_(again, net_weights(checkpoint))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(again.eval()(images), net.eval()(images))
    assert again.rows == net.rows and describe(again) == describe(net)
    assert again.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_description_holds_only_plain_values(net):
    def plain(value):
        if isinstance(value, dict):
            return all(type(key) is str and plain(item) for key, item in value.items())
        return type(value) in (str, int, float, bool)

    assert plain(describe(net)) and set(describe(net)) == {"layers", "image_size", "classes"}


def test_weights_of_another_net_are_listed_row_by_row(net):
    second_net = build({**LAYERS, "conv1": {**LAYERS["conv1"], "kernel": 3}, "fc2": None}, 16, 4, width=0.25)
    before = net.fc3.weight.clone()
    state = {**second_net.state_dict(), "conv9.weight": torch.zeros(2)}
    with pytest.raises(UserError) as problem:
        load_weights_(net, state)
    assert str(problem.value) == (
        "the weights are another net's: conv1.weight is 24 x 3 x 3 x 3 and here 24 x 3 x 5 x 5; "
        "conv9.weight is not in this net; fc2.bias is missing; fc2.weight is missing; "
        "fc3.weight is 4 x 1176 and here 4 x 8; choose model= as in the run that saved them"
    )
    assert torch.equal(net.fc3.weight, before)


def test_only_the_first_differences_are_listed(net):
    with pytest.raises(UserError, match="conv1.bias is missing; .*; conv7.bias is not in this net; and 4 more; choose"):
        load_weights_(net, {f"conv{n}.bias": torch.zeros(1) for n in range(2, 8)})


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint .*nothing.ckpt; a training run leaves checkpoints/last.ckpt"):
        read_checkpoint(tmp_path / "nothing.ckpt")


class Code:
    """An object that only unsafe loading restores."""


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "json", "code"])
def test_an_unreadable_checkpoint(saved, damage):
    whole = saved.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"hello",
        "json": b"{}",
        "code": pickle.dumps(Code(), 2),
    }
    saved.write_bytes(damaged[damage])
    with pytest.raises(UserError, match=r"last.ckpt cannot be read as a checkpoint \(.+\); train again") as problem:
        read_checkpoint(saved)
    assert "\n" not in str(problem.value) and "weights_only" not in str(problem.value)
    if damage == "text":
        assert "(it is damaged, or torch.save did not write it)" in str(problem.value)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"convscope": {}}])
def test_a_checkpoint_of_another_program(saved, content):
    torch.save(content, saved)
    with pytest.raises(UserError, match="last.ckpt is no checkpoint of convscope; ckpt= takes"):
        read_checkpoint(saved)


def test_weights_of_another_program_name_the_key_that_takes_them(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"type the net \(model=...\) and model.weights=.*other.pth"):
        read_checkpoint(tmp_path / "other.pth")
