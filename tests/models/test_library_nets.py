import sys

import pytest
import torch
from torchvision import models

from convscope.errors import UserError
from convscope.models.library_metadata import Colors
from convscope.models.library_nets import _imagenet, timm_net, torchvision_net

IMAGENET = Colors((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SMALL = "squeezenet1_1"  # under five megabytes


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """A cache with random weights in the file that torchvision would download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    net = models.squeezenet1_1()
    torch.save(net.state_dict(), tmp_path / "hub/checkpoints/squeezenet1_1-b8a52dc0.pth")
    return net


@pytest.mark.parametrize("name", [SMALL, "resnet18", "mobilenet_v3_small"])
def test_a_torchvision_net_has_the_requested_classes(name):
    library_net = torchvision_net(name, None, 7)
    assert library_net.net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7) and library_net.colors == IMAGENET


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_auxiliary_outputs_are_left_out():
    with torch.device("meta"):
        net = torchvision_net("googlenet", None, 5).net
        assert net.train()(torch.zeros(2, 3, 96, 96)).shape == (2, 5)


def test_weights_come_from_the_cache(downloaded):
    library_net = torchvision_net(SMALL, "IMAGENET1K_V1", None)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(library_net.net.eval()(images), downloaded.eval()(images))
    assert library_net.colors == IMAGENET


def test_other_classes_exchange_the_last_layer_only(downloaded):
    net = torchvision_net(SMALL, "DEFAULT", 6).net
    assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 6)
    assert torch.equal(net.features[0].weight, downloaded.features[0].weight)
    same = torchvision_net(SMALL, "DEFAULT", 1000).net
    assert torch.equal(same.classifier[1].weight, downloaded.classifier[1].weight)


def test_timm_nets_have_the_requested_classes():
    library_net = timm_net("resnet10t", None, 3)
    assert library_net.net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize(("find", "library"), [(torchvision_net, "torchvision"), (timm_net, "timm")])
def test_an_unknown_name_lists_the_nearest(find, library):
    with pytest.raises(UserError, match=rf"{library} has no classifier vgg61; near it: .*vgg16.*; set model.name"):
        find("vgg61", None, 10)


def test_unknown_weights_list_the_possible_ones():
    with pytest.raises(UserError, match="vgg16 has no weights V9; possible: model.weights=IMAGENET1K_V1, .*, null"):
        torchvision_net("vgg16", "V9", None)
    with pytest.raises(UserError, match="resnet10t has no weights V9; possible: model.weights=c3_in1k, DEFAULT, null"):
        timm_net("resnet10t", "V9", None)


def test_a_failed_download(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    message = rf"the weights DEFAULT of {SMALL} could not be loaded \(.+\); connect .* TORCH_HOME .* model.weights=null"
    with pytest.raises(UserError, match=message) as problem:
        torchvision_net(SMALL, "DEFAULT", None)
    assert "\n" not in str(problem.value)


def test_a_failed_download_of_timm(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"weights c3_in1k of resnet10t could not be loaded \(.+\); connect .* HF_HOME"):
        timm_net("resnet10t", "c3_in1k", None)


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"model=timm needs timm, .*; type: pip install 'convscope\[timm\]'"):
        timm_net("resnet18", None, 10)


def test_weights_bring_the_names_of_their_classes(downloaded):
    names = torchvision_net(SMALL, "DEFAULT", None).classes
    assert (
        len(names) == 1000 and (names[0], names[-1]) == ("tench", "toilet tissue") and names[217] == "English springer"
    )
    assert torchvision_net(SMALL, "DEFAULT", 6).classes is None and torchvision_net(SMALL, None, 6).classes is None
    assert torchvision_net(SMALL, None, None).classes == [f"class {number}" for number in range(1000)]


def test_names_of_the_classes_of_timm_nets():
    timm = pytest.importorskip("timm")
    names, wnids = _imagenet(timm.create_model("resnet10t"))
    assert (
        len(names) == 1000 and (names[0], names[-1]) == ("tench", "toilet tissue") and names[217] == "English springer"
    )
    assert (wnids[0], wnids[217], len(wnids)) == ("n01440764", "n02102040", 1000)
    assert _imagenet(timm.create_model("resnet10t", num_classes=7)) == ([], [])
    assert timm_net("resnet10t", None, 7).classes is None
    assert timm_net("resnet10t", None, None).classes == [f"class {number}" for number in range(1000)]
