"""Public data sets as they lie on a disk, and the errors where one is missing."""

import pickle

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5

from convscope.data import public_sets
from convscope.data.sources import imagenet
from convscope.errors import UserError


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), (200, 30, 30)).save(path)


def message(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits_are_the_real_ones():
    source = public_sets.digits()
    assert source.classes == list("0123456789")
    assert source.train.images.shape[1:] == (8, 8, 3) and source.train.images.max() == 255
    assert len(source.train.labels) + len(source.val.labels) == 1797
    counts = np.bincount(source.val.labels)
    assert counts.min() >= 34 and counts.max() <= 37


def test_imagenette_layouts_and_names(tmp_path):
    known = {"n01440764": "tench", "n02102040": "English springer", "n03888257": "parachute"}
    for wnid in known:
        for split in ("train", "val"):
            put(tmp_path / "imagenette2-320" / split / wnid / f"{wnid}_1.JPEG")
    for root in (tmp_path, tmp_path / "imagenette2-320"):
        assert public_sets.imagenette(root).classes == list(known.values())
    assert imagenet(tmp_path / "imagenette2-320").classes == list(known.values())


@pytest.mark.parametrize("name", ["imagenette", "cifar10"])
def test_a_missing_set_says_how_to_fetch_it(name, tmp_path):
    assert "type data.root=<its folder>, or data.download=true" in message(getattr(public_sets, name), tmp_path)
    assert f"data={name} needs a place: type data.root=" in message(getattr(public_sets, name), None)


@pytest.mark.parametrize("name", ["imagenette", "cifar10"])
def test_a_failed_download_is_told_in_one_line(name, tmp_path):
    (tmp_path / "file").touch()  # no folder can be made there, so nothing is asked of the network
    assert "could not be fetched into" in message(getattr(public_sets, name), tmp_path / "file/inside", True)


def test_cifar10_as_torchvision_keeps_it(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng, names = (
        np.random.default_rng(0),
        [name for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list],
    )
    stored = {}
    for name in names:
        data = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
        stored[name] = data, [0, 1, 2, 3]
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [0, 1, 2, 3]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    digest = lambda name: calculate_md5(folder / name)  # noqa: E731
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [(name, digest(name)) for name in names[:5]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [(names[5], digest(names[5]))])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": digest("batches.meta")})
    source = public_sets.cifar10(tmp_path)
    assert source.classes == list("abcdefghij") and source.train.images.shape == (20, 32, 32, 3)
    data, labels = stored[names[5]]
    assert np.array_equal(source.val.images, data.reshape(4, 3, 32, 32).transpose(0, 2, 3, 1))
    assert source.val.labels.tolist() == labels


@pytest.mark.parametrize(("name", "shelf", "extra"), [
    ("caltech101", "101_ObjectCategories", "BACKGROUND_Google"), ("caltech256", "256_ObjectCategories", "257.clutter"),
])  # fmt: skip
def test_caltech_as_torchvision_keeps_it(name, shelf, extra, tmp_path):
    folders = ["accordion", "ant"] if name == "caltech101" else ["001.ak47", "002.american-flag"]
    for folder in (*folders, extra):
        for number in range(1, 8):
            put(tmp_path / name / shelf / folder / f"image_{number:04d}.jpg")
    for root in (tmp_path, tmp_path / name, tmp_path / name / shelf):
        source = getattr(public_sets, name)(root)
        assert source.classes == (folders if name == "caltech101" else ["ak47", "american-flag"])
        assert source.train.labels.tolist() == [0] * 6 + [1] * 6 and source.val.labels.tolist() == [0, 1]
        assert [path.name for path in source.val.paths] == ["image_0005.jpg"] * 2
    assert "no complete Caltech" in message(getattr(public_sets, name), tmp_path / "nothing")
    assert "type data.root=<its folder>, or data.download=true" in message(
        getattr(public_sets, name), tmp_path / "nothing"
    )
