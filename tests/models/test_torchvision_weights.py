"""Every classifier of torchvision loads torchvision's weights files and equals the net that torchvision builds."""

import pytest
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from convscope.models import library_metadata, library_nets

ENTRIES = {  # one of those that are built alike
    (name, entry.meta["min_size"] if name.startswith("vit") else ()): entry
    for name in models.list_models(module=models)
    for entry in models.get_model_weights(name)
}
HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}  # for training alone


@pytest.fixture
def unset(monkeypatch):
    """Builds nets without setting weights; returns a list of the state_dicts that are loaded."""
    for module in (nn.init, nn.modules.activation):
        for name in dir(module):
            if name.endswith("_") and not name.startswith("_"):
                monkeypatch.setattr(module, name, lambda tensor, *_, **__: tensor)
    loads = []

    def load(net, state, strict=True):
        loads.append((dict(net.state_dict()), dict(state)))

    monkeypatch.setattr(nn.Module, "load_state_dict", load)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
    # Nothing sets the weights, so they may hold nan.
    monkeypatch.setattr(library_nets, "check_finite", lambda *_: None)
    monkeypatch.setattr(library_nets, "_begin_anew_", lambda _: False)
    return loads


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("key", ENTRIES, ids=lambda key: "-".join(map(str, key)))
def test_a_file_of_torchvisions_makes_torchvisions_net(key, unset, monkeypatch):
    (name, _), entry = key, ENTRIES[key]
    library = models.get_model(name, weights=entry)
    file, _ = unset.pop()  # the net into which torchvision loads its file has the names that are in the file
    for module in (library_nets, library_metadata):
        monkeypatch.setattr(module, "read_weights", lambda _: dict(file))
    from_file = library_nets.torchvision_net(name, "weights.pth", None)
    expected, loaded = unset.pop()
    assert shapes(loaded) == shapes(expected) == shapes(from_file.net.state_dict())
    for head in HEADS.get(name, ()):
        setattr(library, head, None)
    assert shapes(from_file.net.state_dict()) == shapes(library.state_dict())
    assert getattr(from_file.net, "transform_input", None) == getattr(library, "transform_input", None)
    assert from_file.classes[217] == "English springer" and not getattr(from_file.net, "aux_logits", False)
    assert (
        library_metadata.native_input("torchvision", name, f"/files/{entry.url.rpartition('/')[2]}").size
        == (entry.transforms().crop_size[0])
    )


@pytest.mark.parametrize("name", HEADS)
def test_downloaded_weights_of_nets_with_heads_for_training(name, unset):
    net = library_nets.torchvision_net(name, "DEFAULT", 5).net
    assert net.transform_input and not net.aux_logits and not any(getattr(net, head) for head in HEADS[name])


def test_weights_that_take_the_normalization_back_keep_it_through_a_checkpoint(unset):
    about = {"source": "torchvision", "name": "googlenet", "classes": 5, "image_size": 96}
    assert library_nets.rebuild_library_net({**about, "transform_input": True}).transform_input
    assert not library_nets.rebuild_library_net(about).transform_input
    vit = {**about, "name": "vit_b_16", "image_size": 384}
    assert library_nets.rebuild_library_net(vit).encoder.pos_embedding.shape[1] == 1 + (384 // 16) ** 2
