"""Words that conf/ does not know are told with the nearest one that it does, and leave no folder."""

import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import given, strategies
from omegaconf import OmegaConf

from conftest import ROOT, convscope
from convscope.cli.config_files import choices
from convscope.cli.errors import check_choices, existing_choices, explain_hydra_error
from convscope.errors import UserError, did_you_mean, explain_unknown_key
from convscope.runs.config_diff import flattened

CONF = ROOT / "conf"
FEW = ["data.train=20", "data.val=20"]


def composed(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=words)


KEYS = list(flattened(OmegaConf.to_container(composed([]))))


def told(*words):
    """What a user reads, without starting the program."""
    with pytest.raises(HydraException) as error:
        composed(list(words))
    keys = flattened(OmegaConf.to_container(composed(existing_choices(CONF, words))))
    return explain_hydra_error(str(error.value), CONF, lambda: list(keys), words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "near", "possible"),
    [
        ("optim.lrr=1", "optim.lr", "optim.momentum"),
        ("modle=zfnet", "model", "optim"),
        ("modle.width=1", "model", "optim"),
        ("model=zfnt", "model=zfnet", "model=vgg16"),
        ("job=ocude", "job=occlude", "job=claims"),
        ("trainer.max_epoch=3", "trainer.max_epochs", "trainer.devices"),
        ("model.layers.conv3.map=4", "model.layers.conv3.maps", "model.layers.conv3.kernel"),
        ("model.layers.cnv3.maps=4", "model.layers.conv3", "model.layers.pool1"),
        ("data=imagenete", "data=imagenette", "data=folder"),
        ("lr=0.1", "optim.lr", "optim"),
        ("max_epochs=3", "trainer.max_epochs", "trainer"),
        ("experiment=table2/zfnet_9", "experiment=table2/zfnet_", "experiment=demo"),
        ("logger=[wandb,tensorbord]", "logger=tensorboard", "logger=mlflow"),
        ("~model.layers.conv33", "model.layers.conv3", "model.layers.pool5"),
        ("max_epoch=3", "trainer.max_epochs", "trainer"),
        ("hydra/launcher=slrm", "hydra/launcher=slurm", "hydra/launcher=slurm"),
    ],
)
def test_a_mistyped_word_is_told_with_its_neighbor(word, near, possible):
    line = told(word)
    assert f"(did you mean {near}" in line and possible in line.partition("possible: ")[2]
    assert "\n" not in line and "Could not" not in line and "+key" not in line


def test_keys_are_those_of_the_chosen_files():
    assert "data.root" in told("data=folder", "data.rot=/a").partition("possible: ")[2]
    assert "data.root" not in told("data.rot=/a")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "line"),
    [
        ("resnet18", "; type model=torchvision model.name=resnet18; possible: "),
        ("ResNet-18", "; type model=torchvision model.name=resnet18; possible: "),
        ("resnet81", "; perhaps model=torchvision model.name=resnet18; possible: "),
        ("timm/resnet50.a1_in1k", "; type model=timm model.name=resnet50 model.weights=a1_in1k; possible: "),
        ("ResNet18_Weights.IMAGENET1K_V1", "; type model=torchvision model.name=resnet18 model.weights=IMAGENET1K_V1"),
        ("vgg", " (did you mean model=vgg11 or model=vgg11_lrn or model=vgg13 or model=vgg16 or "),
        ("resnet", "; perhaps model=torchvision model.name=<one of resnet101, resnet152, resnet18, "),
        ("alexnt", " (did you mean model=alexnet?)"),
    ],
)
def test_a_net_of_a_library_is_told_with_what_to_type(net, line):
    assert told(f"model={net}").startswith(f"no model={net}{line}")


def test_where_nothing_is_near_nothing_is_guessed():
    line = told("data=qqqq")
    assert "did you mean" not in line and "possible: data=caltech101" in line
    assert (
        did_you_mean("qqqq", ["zfnet"]) == "" and did_you_mean("zfnt", ["zfnet", "vgg11"]) == " (did you mean zfnet?)"
    )


def test_a_new_field_of_a_row_is_told_to_need_a_plus():
    assert told("model.layers.conv3.stride=2").endswith("a new one is added by +model.layers.conv3.stride=...")


@given(strategies.sampled_from(sorted(KEYS)), strategies.sampled_from(["", ".a", "x"]))
def test_whatever_is_suggested_for_a_key_is_a_key(key, end):
    line = explain_unknown_key(f"{key.rpartition('.')[2]}{end}", KEYS)
    near = re.search(r"did you mean (.+?)\?", line)
    assert not near or any(f"{known}.".startswith(f"{near[1]}.") for known in KEYS)


@pytest.mark.parametrize("word", ["+model.width=0.5", "+data.train=3", "+seed=3"])
def test_a_key_that_is_there_needs_no_plus(word):
    key = word[1:].partition("=")[0]
    assert told(word) == f"{key} is a key already; type it without the +: {word[1:]}"


@pytest.mark.parametrize("word", ["model=null", "job=null", "experiment=None"])
def test_a_group_without_a_choice(word):
    with pytest.raises(UserError, match=f"{word} chooses nothing; leave it out, or choose: {word.partition('=')[0]}="):
        check_choices(CONF, [word])
    check_choices(CONF, ["data.limit=null", "ckpt=null", "model=zfnet"])


@pytest.mark.parametrize("word", ["~model.layers.conv3", "model.layers.conv1.maps=3", "model.width=0.5"])
def test_nets_without_rows_are_told_so(word):
    line = told("model=torchvision", word)
    assert line.startswith(f"{word.split('=')[0].strip('~').split('.conv')[0]}") and "have none; choose another" in line
    assert "possible: model=alexnet, " in line and "torchvision," not in line


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["experiment=first_layers", "model=torchvision"], ["experiment=table2", "model=zfnet"]]
)
def test_an_experiment_on_the_wrong_net_is_told_in_one_line_of_ours(words, tmp_path):
    ended = convscope(*words, "trainer.accelerator=cpu", cwd=tmp_path)
    assert ended.returncode == 1 and ended.stdout == ""
    told = {
        "first_layers": "model.layers is for nets with rows",
        "table2": "table2 is a table of its own nets (replication,",
    }
    assert told[words[0].partition("=")[2]] in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "outputs/sweep/first_layers/comparison").exists()


def test_choices_are_the_files_of_a_group():
    names = ["alexnet_2012", "finetune", "paper", "quick", "vgg"]
    assert choices(CONF, "optim") == [f"optim={name}" for name in names]
    assert choices(CONF, "nothing") == choices(CONF, "") == []


@pytest.mark.parametrize(
    "words",
    [["optim.lrr=1", *FEW], ["evolution.layers=[conv9]", *FEW], ["job=occlude", "occlude.size=big", *FEW],
     ["job=visualize", "ckpt=nothing.ckpt"]],
)  # fmt: skip
def test_a_refused_run_says_one_line_and_leaves_nothing(words, tmp_path, cache):
    ended = convscope(*words, f"data.cache_dir={cache}", cwd=tmp_path)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and ended.stderr.startswith("convscope: "), ended.stderr
    assert [path for path in tmp_path.rglob("*") if path.name != "outputs"] == []
