"""The input of torchvision's and timm's nets against the transforms of the libraries."""

import numpy as np
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, strategies
from omegaconf import OmegaConf
from PIL import Image
from torchvision import models

from conftest import ROOT
from convscope.analyses.subject import new_subject, saved_subject, untrained_subject
from convscope.cli.preparation import checkpoint_description
from convscope.data.config import sized
from convscope.errors import UserError
from convscope.models.library_metadata import native_input, net_by_card_name, torchvision_entry
from convscope.models.library_nets import torchvision_net
from random_settings import tried


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Smooth pictures in a plain folder; square, because libraries round the longer side of others differently."""
    root, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for number, size in enumerate([(420, 420), (300, 300)]):
        noise = draw.integers(0, 256, (size[1] // 20, size[0] // 20, 3), np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(root / f"{number}.png")
    return root


def settings(words):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    return {**composed, "words": words}


def subject(photographs, cache, *words):
    place = ["data=images", f"data.root={photographs}", f"data.cache_dir={cache}", "data.workers=0"]
    return new_subject(settings([*place, *words]), keep_classes=True)


def library_transform(library, name):
    if library == "torchvision":
        return next(iter(models.get_model_weights(name))).transforms()
    data = pytest.importorskip("timm.data")
    config = pytest.importorskip("timm").get_pretrained_cfg(name).to_dict()
    return data.create_transform(**data.resolve_data_config({}, pretrained_cfg=config))


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("torchvision", "squeezenet1_1"), ("torchvision", "efficientnet_b1"), ("torchvision", "mnasnet0_75"),
        ("timm", "resnet10t"), ("timm", "mobilenetv3_small_050"), ("timm", "tf_efficientnet_lite0"),
    ],
)  # fmt: skip
def test_a_net_sees_what_its_library_would_show_it(library, name, photographs, cache):
    data = subject(photographs, cache, f"model={library}", f"model.name={name}").data
    images, transform = data.images("val", [0, 1]), library_transform(library, name)
    expected = torch.stack([transform(Image.open(photographs / f"{number}.png")) for number in range(2)])
    assert images.shape == expected.shape
    assert (images - expected).abs().max() * 255 * 0.23 < 3  # grey levels: PIL and torch round apart


def test_a_size_that_is_typed_is_cut_as_in_the_paper(photographs, cache):
    chosen = subject(
        photographs, cache, "model=torchvision", "model.name=efficientnet_b1", "data.image_size=96"
    ).data.settings
    assert (chosen.image_size, chosen.stored_size, chosen.interpolation) == (96, 110, "bilinear")


def test_nets_of_rows_and_small_sets_keep_their_sizes(cache):
    """Image sizes of small data sets in data/config.py are those of conf/data."""
    sizes = {}
    for source, where in (("critters", {}), ("digits", {}), ("cifar10", {})):
        rows, library = (
            settings([f"data={source}", f"data.cache_dir={cache}", *net])
            for net in (["model=zfnet"], ["model=torchvision", "model.name=squeezenet1_1"])
        )
        sizes[source] = rows["data"]["image_size"]
        assert library["data"]["image_size"] is None
        assert sized(library)["data"] == rows["data"] | where
        assert sized(rows) is rows
        learned = {**library, "model": {**library["model"], "weights": "DEFAULT"}}
        assert sized(learned)["data"]["image_size"] == 224
    assert sizes == {"critters": 96, "digits": 64, "cifar10": 64}


def test_the_message_of_a_wrong_size_has_the_nets_own(photographs, cache):
    message = r"the net cannot take an image of 3 x 96 x 96 \(.*\); its own size is 224: leave data.image_size out, or "
    with pytest.raises(UserError, match=message + r"type data.image_size=224$"):
        subject(photographs, cache, "model=torchvision", "model.name=vit_b_32", "data.image_size=96")


def test_a_vision_transformer_of_a_file_is_of_the_size_of_its_positions(tmp_path, photographs, cache, monkeypatch):
    small = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}
    vit = models.VisionTransformer(384, 16, **small)
    torch.save(vit.state_dict(), tmp_path / "net.pth")
    native = native_input("torchvision", "vit_b_16", str(tmp_path / "net.pth"))
    assert (native.size, native.stored, native.interpolation) == (384, 384, "bicubic")
    assert native_input("torchvision", "vit_b_16", None).size == 224
    assert native_input("torchvision", "vit_h_14", None).size == 224  # whose first weights are of 518 pixels
    monkeypatch.setattr(models, "get_model", lambda name, image_size=224, **_: models.VisionTransformer(
        image_size, 16, num_classes=1000, **small))  # fmt: skip
    loaded = torchvision_net("vit_b_16", str(tmp_path / "net.pth"), None).net
    assert torch.equal(loaded.encoder.pos_embedding, vit.encoder.pos_embedding)


def test_a_file_of_the_library_is_recognized_by_its_name(tmp_path):
    for entry in (*models.ResNet50_Weights, *models.EfficientNet_B1_Weights):
        name = "resnet50" if "resnet" in entry.url else "efficientnet_b1"
        assert torchvision_entry(name, str(tmp_path / entry.url.rpartition("/")[2])) is entry
    assert torchvision_entry("resnet50", "mine.pth") is models.ResNet50_Weights.IMAGENET1K_V1


def test_a_checkpoint_keeps_the_input_of_its_net(photographs, cache, tmp_path):
    training = settings(["model=torchvision", "model.name=efficientnet_b0", "data=images", f"data.root={photographs}",
                     f"data.cache_dir={cache}", "data.workers=0"])  # fmt: skip
    before = new_subject(training)
    state = {f"net.{name}": value for name, value in before.net.state_dict().items()}
    torch.save({"state_dict": state, "convscope": checkpoint_description(training, before)}, tmp_path / "last.ckpt")
    looking = settings(["data=images", f"data.root={photographs}", f"data.cache_dir={cache}"])
    after = saved_subject({**looking, "ckpt": str(tmp_path / "last.ckpt")})
    assert torch.equal(after.data.images("val", [0, 1]), before.data.images("val", [0, 1]))
    assert after.data.settings.interpolation == "bicubic" and after.data.settings.image_size == 224


@pytest.mark.parametrize("way", [{"stored": 100}, {"stored": 10**9}, {"interpolation": "lanczos"}, {"more": 1}, [224]])
def test_an_input_that_cannot_be_is_refused(way, trained, tmp_path):
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    checkpoint["convscope"]["net"]["image_size"] = 224
    torch.save({**checkpoint, "convscope": {**checkpoint["convscope"], "input": way}}, tmp_path / "net.ckpt")
    with pytest.raises(UserError, match="an unknown way to bring images to the net's size"):
        saved_subject({"ckpt": str(tmp_path / "net.ckpt")})


def test_the_control_of_random_weights_is_the_same_net(photographs, tmp_path, cache):
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "net.pth")
    chosen = settings(["model=torchvision", "model.name=squeezenet1_1", f"model.weights={tmp_path}/net.pth",
                       "data=images", f"data.root={photographs}", f"data.cache_dir={cache}"])  # fmt: skip
    control = untrained_subject({**chosen, "ckpt": None})
    learned = new_subject(chosen, keep_classes=True).net
    assert control.features[0].weight.shape == learned.features[0].weight.shape
    assert not torch.equal(control.features[0].weight, learned.features[0].weight)


TORCHVISION, TIMM = models.list_models(module=models), timm.list_models()
TAGGED = timm.list_pretrained()


@pytest.mark.slow
@tried(25)
@given(strategies.data())
def test_a_name_as_cards_and_people_write_it_is_the_librarys(data):
    """Names of weights of torchvision's classes, in any capitals and hyphens; those of timm with tag and prefix."""
    name = data.draw(strategies.sampled_from(TORCHVISION))
    weights = models.get_model_weights(name)
    entry = data.draw(strategies.sampled_from([*weights.__members__]))
    typed = data.draw(
        strategies.sampled_from([name, name.upper(), name.replace("_", "-"), f"torchvision.models.{name}"])
    )
    assert net_by_card_name("torchvision", typed, None) == ("torchvision", name, None)
    for of in (f"{weights.__name__}.{entry}", f"models.{weights.__name__}.{entry}"):
        assert net_by_card_name("torchvision", of, None) == ("torchvision", name, entry)
        assert net_by_card_name("torchvision", typed, of) == ("torchvision", name, entry)
        assert net_by_card_name("torchvision", "vgg16", of, name_is_typed=False) == ("torchvision", name, entry)
    full = data.draw(strategies.sampled_from(TAGGED))
    name, _, tag = full.partition(".")
    for prefix in ("", "timm/", "hf-hub:timm/", "hf_hub:timm/", "https://huggingface.co/timm/"):
        assert net_by_card_name("timm", f"{prefix}{full}", None) == ("timm", name, tag or None)
        assert net_by_card_name("timm", f"{prefix}{name}", None) == ("timm", name, None)
        assert net_by_card_name("timm", f"{prefix}{full}", "/a/b.pth") == ("timm", name, "/a/b.pth")
        if prefix:
            with pytest.raises(UserError, match=rf"is a name of timm; type model=timm model.name={name}($| model.wei)"):
                net_by_card_name("torchvision", f"{prefix}{full}", None)


@pytest.mark.parametrize(
    ("named", "line"),
    [
        (("torchvision", "resnet50.a1_in1k", None), "type model=timm model.name=resnet50 model.weights=a1_in1k"),
        (
            ("timm", "ResNet18_Weights.DEFAULT", None),
            "type model=torchvision model.name=resnet18 model.weights=DEFAULT",
        ),
        (
            ("torchvision", "vgg16", "ResNet18_Weights.DEFAULT"),
            "are of resnet18, and model.name=vgg16; type model.name=",
        ),
        (
            ("timm", "resnet50.a1_in1k", "a2_in1k"),
            "has weights of its own, and model.weights=a2_in1k; leave one of them",
        ),
    ],
)
def test_names_that_do_not_agree_are_told_with_what_to_type(named, line):
    with pytest.raises(UserError, match=line):
        net_by_card_name(*named)


def test_the_other_library_is_named_where_it_has_the_net():
    with pytest.raises(UserError, match="no classifier resnet50d; near it: .*; type model=timm model.name=resnet50d"):
        native_input("torchvision", "resnet50d", None)
    with pytest.raises(UserError, match="no classifier resnet81; near it: resnet18, .*; set model.name"):
        native_input("torchvision", "resnet81", None)
