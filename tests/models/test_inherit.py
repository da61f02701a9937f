"""The rows that a net copies from a checkpoint, bit for bit, and the report on the other rows."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torchvision.models import resnet18

from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.checkpoints import inherit_, last_row, rows_of, shortened

CONF = Path(__file__).resolve().parents[2] / "conf"


def shipped(name, image_size, classes=10, width=0.05):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model = OmegaConf.to_container(compose(f"model/{name}").model, resolve=True)
    return build(model["layers"], image_size, classes, width)


def same(net, state, row):
    weights = net.state_dict()
    keys = [key for key in weights if key.startswith(f"{row}.")]
    return bool(keys) and all(torch.equal(weights[key], state[key]) for key in keys)


def test_other_classes_take_all_but_the_last_row():
    old, new = shipped("zfnet", 64), shipped("zfnet", 64, classes=7)
    before = new.fc8.weight.clone()
    inherited = inherit_(new, old.state_dict(), {})
    assert inherited.taken == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    assert all(same(new, old.state_dict(), row) for row in inherited.taken)
    assert inherited.new == {"fc8": "7 x 208, in the checkpoint 10 x 208"} and inherited.unused == []
    assert torch.equal(new.fc8.weight, before)
    images = torch.randn(2, 3, 64, 64)
    below = (
        torch.nn.Sequential(*list(old.eval().children())[:-1]),
        torch.nn.Sequential(*list(new.eval().children())[:-1]),
    )
    assert torch.equal(below[0](images), below[1](images))


def test_images_of_another_size_take_the_convolutions():
    old, new = shipped("zfnet", 64), shipped("zfnet", 96)
    inherited = inherit_(new, old.state_dict(), {})
    assert list(inherited.new) == ["fc6"] and "conv5" in inherited.taken and "fc8" in inherited.taken


@pytest.mark.parametrize("deep", ["vgg13", "vgg16", "vgg16_c", "vgg19"])
def test_the_deeper_vggs_take_all_of_net_a_by_name(deep):
    old, new = shipped("vgg11", 32), shipped(deep, 32)
    inherited = inherit_(new, old.state_dict(), {})
    assert inherited.taken == list(rows_of(old, old.state_dict())) and inherited.unused == []
    assert set(inherited.new.values()) == {"not in the checkpoint"} and "conv1_2" in inherited.new


@pytest.mark.parametrize("deep", ["vgg13", "vgg16", "vgg16_c", "vgg19"])
def test_what_the_yaml_says_the_paper_takes_are_four_convolutions_and_the_full_layers(deep):
    text = (CONF / f"model/{deep}.yaml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("take:"))
    rows = line[line.index("[") + 1 : line.index("]")].split(",")
    of_a = list(rows_of(a := shipped("vgg11", 32), a.state_dict()))
    assert rows == [*of_a[:4], *of_a[-3:]]


def test_a_refused_row_keeps_its_weights_and_its_reason():
    old, new = shipped("vgg11", 32), shipped("vgg13", 32)
    before = new.conv2_1.weight.clone()
    inherited = inherit_(new, old.state_dict(), {"conv2_1": "not wanted"})
    assert inherited.new["conv2_1"] == "not wanted" and torch.equal(new.conv2_1.weight, before)


def test_the_words_for_a_person():
    old, new = shipped("vgg13", 32), shipped("vgg11", 32)
    inherited = inherit_(new, old.state_dict(), {"fc8": "20 classes, the checkpoint has 10", "conv5_1": "why not"})
    assert inherited.words("last.ckpt") == (
        "took conv1_1 ... conv4_2, conv5_2 ... fc7 from last.ckpt; conv5_1 is new: why not; "
        "fc8 is new: 20 classes, the checkpoint has 10; not used: conv1_2, conv2_2"
    )
    assert shortened(["a", "b", "d"], "abcd") == "a, b, d" and shortened("abc", "abcd") == "a ... c"


def test_towers_have_another_shape():
    old, new = shipped("alexnet", 80), shipped("alexnet_2012", 80)
    inherited = inherit_(new, old.state_dict(), {})
    assert {"conv2", "conv4", "conv5"} <= set(inherited.new) and {"conv1", "conv3"} <= set(inherited.taken)


def test_a_library_net_takes_its_modules_batch_norms_too():
    old, new = resnet18(num_classes=10), resnet18(num_classes=4)
    old.bn1.running_mean.fill_(3)
    inherited = inherit_(new, old.state_dict(), {})
    assert list(inherited.new) == ["fc"] == [last_row(new)]
    assert (new.bn1.running_mean == 3).all() and same(new, old.state_dict(), "layer4.1.conv2")


def test_rows_of_one_name_with_other_weights_are_reported():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Linear(4, 2))
    state = {"0.weight": torch.zeros(4, 3, 1, 1), **{f"1.{k}": v for k, v in net[1].state_dict().items()}}
    assert inherit_(net, state, {}).new == {"0": "it has weight and bias, in the checkpoint weight"}


def test_nothing_in_common_is_an_error_and_changes_nothing():
    new = shipped("zfnet", 64, width=0.25)
    before = {key: value.clone() for key, value in new.state_dict().items()}
    with pytest.raises(UserError) as problem:
        inherit_(new, shipped("zfnet", 64).state_dict(), {"fc8": "other classes"})
    assert str(problem.value) == (
        "no row of this net has its like in the checkpoint of model.init (conv1: 24 x 3 x 7 x 7, in the checkpoint "
        "8 x 3 x 7 x 7; conv2: 64 x 24 x 5 x 5, in the checkpoint 16 x 8 x 5 x 5; conv3: 96 x 64 x 3 x 3, in the "
        "checkpoint 16 x 16 x 3 x 3; ...); set model= and model.width as in the run that saved it, or model.init=null"
    )
    assert all(torch.equal(before[key], value) for key, value in new.state_dict().items())
