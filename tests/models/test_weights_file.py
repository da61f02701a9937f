"""Weights files of training programs: every wrapping loads the same net, and what does not fit is listed."""

from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, strategies
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.library_nets import timm_net, torchvision_net
from convscope.models.nets import foreign_net, row_net
from convscope.models.weights_file import fitting, is_file_name, read_weights, renamed
from random_settings import tried

SMALL = "squeezenet1_1"  # under five megabytes


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return models.squeezenet1_1().eval()


def prefixed(state, prefix):
    return OrderedDict((f"{prefix}{name}", value) for name, value in state.items())


def lightning(state):
    more = {"criterion.weight": torch.ones(3), "accuracy.tp": torch.zeros(1)}
    return {"state_dict": {**prefixed(state, "net."), **more}, "epoch": 3, "hyper_parameters": {"lr": 0.1}}


WRAPPED = {
    "plain.pth": lambda state: state,
    "half.pt": lambda state: {name: value.half() for name, value in state.items()},
    "average.pth": lambda state: {"state_dict_ema": state, "epoch": 3, "optimizer": {"lr": 0.1}},
    "entry.pth": lambda state: {"state_dict": state, "epoch": 3},
    "model.pth": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "twice.pth": lambda state: {"model": {"state_dict": state}},
    "data_parallel.pth": lambda state: prefixed(state, "module."),
    "features.pth": lambda state: {name.replace("features.", "features.module."): v for name, v in state.items()},
    "compiled.pth": lambda state: prefixed(state, "model._orig_mod."),
    "lightning.ckpt": lightning,
}


@pytest.mark.parametrize("name", [*WRAPPED, "legacy.pth", "plain.safetensors", "module.safetensors"])
def test_every_wrapping_gives_the_same_net(name, net, tmp_path):
    file, state = str(tmp_path / name), net.state_dict()
    if name.endswith(".safetensors"):
        save_file(prefixed(state, "module." if name.startswith("module") else ""), file)
    elif name.startswith("legacy"):
        torch.save(state, file, _use_new_zipfile_serialization=False)
    else:
        torch.save(WRAPPED[name](state), file)
    loaded = torchvision_net(SMALL, file, None)
    images = torch.randn(2, 3, 64, 64)
    atol = 1e-2 if name.startswith("half") else 0
    assert torch.allclose(loaded.net.eval()(images), net(images), rtol=0, atol=atol)
    assert loaded.classes[217] == "English springer" and loaded.has_class_names
    assert next(loaded.net.parameters()).dtype == torch.float32


ROWS = {"conv1": {"kind": "conv", "maps": 8, "kernel": 3}, "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
        "fc2": {"kind": "full", "units": 16}, "fc3": {"kind": "full", "units": "classes"}}  # fmt: skip
MODELS = {
    "rows": {"source": "rows", "layers": ROWS},
    "python": {"source": "python", "target": "torchvision.models:mobilenet_v3_small", "args": {"width_mult": 0.1}},
    "torchvision": {"source": "torchvision", "name": SMALL},
}
PLAIN_NETS = {  # the same nets as others make them
    "rows": lambda count: build(ROWS, 32, count),
    "python": lambda count: models.mobilenet_v3_small(num_classes=count, width_mult=0.1),
    "torchvision": lambda count: models.squeezenet1_1(num_classes=count),
}
PARTS = ["module", "model", "net", "_orig_mod"]
ENTRIES = [[], ["state_dict"], ["model"], ["model_state_dict"], ["model", "state_dict"], ["state_dict_ema"]]


def opened(kind, file, classes, keep):
    """The net that the program makes of the file."""
    model = MODELS[kind] | {"weights": file}
    return row_net(model, 32, classes, keep) if kind == "rows" else foreign_net(model, 32, classes, keep).net


@tried(16)
@given(
    kind=strategies.sampled_from(sorted(MODELS)),
    parts=strategies.lists(strategies.sampled_from(PARTS), max_size=3),
    entries=strategies.sampled_from(ENTRIES),
    dtype=strategies.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    ending=strategies.sampled_from([".pth", ".pt", ".ckpt", ".bin", ".safetensors"]),
    count=strategies.sampled_from([3, 7]),
)
@example("python", ["module", "model"], ["state_dict"], torch.float16, ".ckpt", 7)
@example("rows", ["model", "_orig_mod"], [], torch.bfloat16, ".safetensors", 7)
def test_every_kind_of_file_gives_every_kind_of_net_the_weights_that_torch_gives(
    tmp_path_factory, kind, parts, entries, dtype, ending, count
):
    torch.manual_seed(0)
    file = str(tmp_path_factory.mktemp("weights") / f"net{ending}")
    state = {key: value.to(dtype) if value.is_floating_point() else value
             for key, value in PLAIN_NETS[kind](count).state_dict().items()}  # fmt: skip
    content = prefixed(state, "".join(f"{part}." for part in parts))
    if ending == ".safetensors":
        save_file(
            {key: value.contiguous() for key, value in content.items()},
            file,
            metadata={"format": "pt", "by": "somebody", "epoch": "3"},
        )
    else:
        content |= {"criterion.weight": torch.ones(3)} if {"model", "net"} & set(parts) else {}
        for entry in reversed(entries):
            content = {
                entry: content,
                "epoch": 3,
                "args": Namespace(lr=0.1, output=Path("out")),
                "optimizer": {"state": {}},
            }
        torch.save(content, file)
    expected = PLAIN_NETS[kind](count)
    expected.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    )
    for classes, keep in ((5, True), (count, False)):
        loaded = opened(kind, file, classes, keep).state_dict()
        assert loaded.keys() == expected.state_dict().keys()
        for key, value in expected.state_dict().items():
            assert torch.equal(loaded[key], value) and loaded[key].dtype == value.dtype, key
    fresh, last = opened(kind, file, 5, keep=False).state_dict(), list(expected.state_dict())[-1].rpartition(".")[0]
    for key, value in expected.state_dict().items():
        assert torch.equal(fresh[key], value) if not key.startswith(last) else len(fresh[key]) == 5, key


def test_a_net_may_have_a_prefix_that_the_file_lacks():
    """A LightningModule as the net, and the file of the net within it."""
    inner = models.squeezenet1_1().state_dict()
    assert renamed(prefixed(inner, "model."), inner).keys() == prefixed(inner, "model.").keys()
    assert renamed(prefixed(inner, "model."), prefixed(inner, "module.")).keys() == prefixed(inner, "model.").keys()


def test_a_net_of_rows_is_told_what_does_not_fit(tmp_path):
    torch.save(build(ROWS, 32, 4, width=2.0).state_dict(), file := f"{tmp_path}/wide.pth")
    with pytest.raises(UserError) as problem:
        opened("rows", file, 4, keep=True)
    assert str(problem.value) == (
        f"{file} does not fit this net: of another shape: conv1.weight is 16 x 3 x 3 x 3 and here 8 x 3 x 3 x 3, "
        "conv1.bias is 16 and here 8, fc2.weight is 32 x 3600 and here 16 x 1800, fc2.bias is 32 and here 16, "
        "fc3.weight is 4 x 32 and here 4 x 16; set model=, model.width and data.image_size to the net that the weights "
        "are of"
    )
    broken = build(ROWS, 32, 4).state_dict()
    torch.save(broken | {"fc2.bias": torch.full((16,), torch.nan)}, file)
    with pytest.raises(UserError, match="nan or infinite: fc2.bias"):
        opened("rows", file, 4, keep=True)
    for value in (3, True, ["a.pth"]):
        with pytest.raises(UserError, match="is no file; e.g. model.weights=/weights/net.pth"):
            opened("rows", value, 4, keep=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").touch()
    with pytest.raises(UserError, match=f"is a run of convscope; type ckpt={tmp_path}"):
        opened("rows", str(tmp_path), 4, keep=True)


def test_the_settings_of_a_training_program_are_no_code(tmp_path):
    """A Namespace and a path are read as plain values; whatever else could run code is refused as before."""
    state = build(ROWS, 32, 4).state_dict()

    class Reduced:
        def __reduce__(self):
            return (open, (f"{tmp_path}/ran", "w"))

    torch.save({"model": state, "args": Namespace(a=1, out=Path("x"))}, file := tmp_path / "a.pth")
    assert read_weights(str(file)).keys() == state.keys()
    for harmful in (Namespace(a=Reduced()), Reduced(), [Path("x"), Reduced()]):
        torch.save({"model": state, "args": harmful}, file)
        assert "pickled Python objects" in refusal(file)
    assert not (tmp_path / "ran").exists()
    assert Namespace not in torch.serialization.get_safe_globals()  # for this file alone


def test_a_file_for_a_net_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    source = timm.create_model("mobilenetv3_small_050", num_classes=12).eval()
    torch.save({"state_dict": prefixed(source.state_dict(), "module.")}, tmp_path / "net.pth")
    loaded, images = timm_net("mobilenetv3_small_050", f"{tmp_path}/net.pth", None), torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded.net.eval()(images), source(images))
    assert len(loaded.classes) == 12 and not loaded.has_class_names
    five_classes = timm_net("mobilenetv3_small_050", f"{tmp_path}/net.pth", 5).net
    assert five_classes.eval()(images).shape == (2, 5) and torch.equal(
        five_classes.conv_stem.weight, source.conv_stem.weight
    )


def test_other_classes_get_a_fresh_last_layer_and_a_file_need_not_have_one(net, tmp_path):
    file, state = str(tmp_path / "net.pth"), net.state_dict()
    torch.save(state, file)
    six = torchvision_net(SMALL, file, 6)
    assert six.classes is None and six.net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 6)
    assert torch.equal(six.net.features[0].weight, net.features[0].weight)
    same = torchvision_net(SMALL, file, 1000).net
    assert torch.equal(same.classifier[1].weight, net.classifier[1].weight)
    torch.save({name: value for name, value in state.items() if name.startswith("features")}, file)
    assert torch.equal(torchvision_net(SMALL, file, 6).net.features[0].weight, net.features[0].weight)
    with pytest.raises(UserError, match=r"missing: classifier.1.weight, classifier.1.bias; set model.name"):
        torchvision_net(SMALL, file, None)  # there is nothing to answer with


def test_layers_that_a_library_left_unlearned_begin_anew(tmp_path):
    """Linear layers of nan weights, as in torchvision's vgg16 IMAGENET1K_FEATURES."""
    small = models.mobilenet_v3_small()
    nn.init.constant_(small.classifier[3].weight, torch.nan)
    nn.init.constant_(small.classifier[3].bias, torch.nan)
    torch.save(small.state_dict(), tmp_path / "net.pth")
    loaded = torchvision_net("mobilenet_v3_small", f"{tmp_path}/net.pth", None)
    assert loaded.net.eval()(torch.zeros(1, 3, 64, 64)).isfinite().all() and not loaded.has_class_names
    assert torch.equal(loaded.net.classifier[0].weight, small.classifier[0].weight)


def test_weights_that_are_not_numbers_are_refused(net, tmp_path):
    state = dict(net.state_dict())
    state["features.0.weight"] = torch.full_like(state["features.0.weight"], torch.nan)
    state["features.0.bias"] = torch.full_like(state["features.0.bias"], torch.inf)
    torch.save(state, file := tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"nan or infinite: features\.0\.weight, features\.0\.bias; take another"):
        torchvision_net(SMALL, str(file), None)


def test_counts_of_batches_in_half_precision_are_counts():
    """A state_dict after `{name: value.half() for ...}`."""
    expected = nn.BatchNorm2d(3).state_dict()
    weights = fitting(expected, {name: value.half() for name, value in expected.items()}, "file")
    assert weights["num_batches_tracked"].dtype == torch.int64


def test_what_does_not_fit_is_listed_in_one_line(net, tmp_path):
    state = dict(net.state_dict())
    state["features.0.weight"] = torch.zeros(64, 3, 7, 7)
    state["features.3.squeeze.bias"] = torch.zeros(16, dtype=torch.int64)
    state["extra.weight"] = state.pop("features.0.bias")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UserError) as problem:
        torchvision_net(SMALL, f"{tmp_path}/net.pth", None)
    parts = str(problem.value).split("; ")
    assert parts[0] == f"{tmp_path}/net.pth does not fit squeezenet1_1: missing: features.0.bias"
    assert parts[1:] == [
        "unexpected: extra.weight",
        "of another shape: features.0.weight is 64 x 3 x 7 x 7 and here 64 x 3 x 3 x 3, "
        "features.3.squeeze.bias is 16 of int64 and here 16",
        "set model.name to the net that the weights are of",
    ]
    torch.save(models.alexnet(num_classes=2).features.state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"missing: features.0.weight, .* and 47 more; unexpected: 0.weight"):
        torchvision_net(SMALL, f"{tmp_path}/other.pth", None)
    expected = {"bn1.weight": torch.zeros(64), "stem.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"missing: stem.weight, head.weight; unexpected: conv1.weight"):
        fitting(expected, models.resnet18().state_dict(), "file")  # layer1.0.bn1 and so on: not several such nets


def test_two_nets_in_one_file_are_not_guessed_between(net, tmp_path):
    torch.save({**prefixed(net.state_dict(), "student."), **prefixed(net.state_dict(), "teacher.")}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"holds several such nets: student\., teacher\.; save the weights of one"):
        torchvision_net(SMALL, f"{tmp_path}/a.pth", None)


def test_old_names_of_densenets(tmp_path):
    """torchvision's files have norm.1 where the net has norm1."""
    state = models.densenet121(num_classes=3).state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("norm2.", "norm.2."): value for name, value in state.items()}
    old = {name.replace("conv1.", "conv.1.").replace("conv2.", "conv.2."): value for name, value in old.items()}
    assert len(old.keys() & state.keys()) < len(state) / 10
    torch.save(old, tmp_path / "old.pth")
    loaded = torchvision_net("densenet121", f"{tmp_path}/old.pth", 3).net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def refusal(path):
    with pytest.raises(UserError) as problem:
        read_weights(str(path))
    assert "\n" not in str(problem.value) and str(path) in str(problem.value)
    return str(problem.value)


def test_a_whole_module_is_refused_with_what_to_save(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3)), tmp_path / "net.pt")
    line = refusal(tmp_path / "net.pt")
    assert "pickled Python objects (torch.nn.modules.container.Sequential)" in line
    assert "torch.save(net.state_dict(), 'weights.pth')" in line


def test_files_that_hold_no_weights(tmp_path):
    strange = {
        "list.pth": [torch.zeros(3)], "empty.pth": {}, "numbers.pth": {"a.weight": 3},
        "expanded.pth": {"a.weight": torch.zeros(1).expand(10**9)}, "sparse.pth": {"a": torch.eye(3).to_sparse()},
    }  # fmt: skip
    for name, content in strange.items():
        torch.save(content, tmp_path / name)
        assert "torch.save(net.state_dict(), 'weights.pth')" in refusal(tmp_path / name)
    (tmp_path / "text.safetensors").write_text("no weights")
    assert "cannot be read as safetensors" in refusal(tmp_path / "text.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    assert "cannot be read as weights" in refusal(tmp_path / "text.pth")
    assert "there is no such file" in refusal(tmp_path / "absent.pth")
    assert "this is a folder; name a file in it" in refusal(tmp_path)
    torch.save({"convscope": {}, "state_dict": {"net.a": torch.zeros(1)}}, checkpoint := tmp_path / "last.ckpt")
    assert f"is a checkpoint of convscope; type ckpt={checkpoint}" in refusal(checkpoint)


def test_what_is_a_file_and_what_a_name():
    assert all(map(is_file_name, ["a.pth", "A.PT", "x/weights", "~/w.safetensors", "last.ckpt"]))
    assert not any(map(is_file_name, ["DEFAULT", "IMAGENET1K_V1", "tv_in1k", "fb_swsl_ig1b_ft_in1k"]))


def test_weights_of_several_nets_are_named(tmp_path):
    torch.save({"generator": {"a": torch.ones(1)}, "critic": {"b": torch.ones(1)}}, tmp_path / "both.pth")
    with pytest.raises(UserError, match=r"both.pth holds the weights of several nets \(generator, critic\); save"):
        read_weights(str(tmp_path / "both.pth"))
