"""Any folders of splits and classes with any job: it reads what it needs, or one line says what is missing."""

from functools import cache as remembered

import pytest
import torch
from hypothesis import given, strategies
from PIL import Image

from convscope.data.config import job_source, whole_source
from convscope.data.folders import LAYOUT
from convscope.errors import UserError
from random_settings import composed, opened, tried

CLASSES = ["ant", "bee", "cat", "dev", "wasp"]  # the net does not know the last
KNOWN = ["ant", "bee", "cat", "dev", *"mnopqr"]
FOLDERS = {
    "train": ["train", "Train", "training"],
    "val": ["val", "valid", "validation", "Val", "dev", "VALID"],
    "test": ["test", "testing", "Test"],
}
BASE = ["data=folder", "data.image_size=64", "data.workers=0", "trainer.accelerator=cpu"]


@strategies.composite
def trees(draw):
    """The name of each split's folder, those of its classes, and how many levels below them images lie."""
    splits = draw(strategies.lists(strategies.sampled_from(list(FOLDERS)), unique=True))
    names = {split: draw(strategies.sampled_from(FOLDERS[split])) for split in splits}
    classes = strategies.lists(strategies.sampled_from(CLASSES), max_size=4, unique=True).map(sorted)
    same = draw(classes)
    return {split: (name, same if draw(strategies.booleans()) else draw(classes)) for split, name in names.items()}


def planted(root, tree):
    """Two images of each class; a split without classes holds images itself, as competitions give them."""
    for name, classes in tree.values():
        for folder in [root / name / class_ for class_ in classes] or [root / name]:
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(2):
                Image.new("RGB", (9, 9)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory):
    """The net of the critters, as if it had been trained on ten folders."""
    held = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    held["convscope"] |= {"class_names": [f"{name}s" for name in KNOWN], "class_folders": KNOWN}
    path = tmp_path_factory.mktemp("folders") / "net.ckpt"
    torch.save(held, path)
    return path


@remembered
def settings_of(job):
    return composed([f"job={job}", *BASE])


def settings(job, root, **keys):
    values = settings_of(job)
    values = {**values, "data": {**values["data"], "root": str(root)}, "words": ["data=folder", "data.root=x"]}
    return values | ({job: {**values[job], "split": keys["split"]}, "ckpt": keys["ckpt"]} if keys else {})


def refusal(problem):
    line = str(problem)
    assert "\n" not in line and ("type " in line or LAYOUT in line or "class" in line)
    return line


@tried(40)
@given(trees(), strategies.sampled_from(["val", "train", "test"]))
def test_a_job_that_looks_takes_what_there_is(tmp_path_factory, checkpoint, cache, tree, split):
    root = tmp_path_factory.mktemp("tree")
    planted(root, tree)
    stand_in = "test" if split == "val" and "val" not in tree else split
    name, classes = tree.get(stand_in, ("", []))
    keys = settings("evaluate", root, split=split, ckpt=str(checkpoint))
    keys["data"]["cache_dir"] = str(cache)
    try:
        subject = opened(keys)
    except UserError as problem:
        assert not classes, refusal(problem)
        if any(classes for _, classes in tree.values()) and "train" in tree:
            assert not tree["train"][1] or "evaluate.split=train" in str(problem)
        return
    assert classes
    images = range(subject.data.size(split))
    labels = subject.data.labels(split, images).tolist()
    assert len(images) == 2 * len(classes) and subject.data.images(split, [0]).shape == (1, 3, 64, 64)
    names = [KNOWN[number] if (number := subject.targets[label]) >= 0 else "wasp" for label in labels]
    assert names == [name for name in classes for _ in range(2)]


@tried(40)
@given(trees())
def test_training_needs_both_splits_with_the_same_classes(tmp_path_factory, tree):
    root = tmp_path_factory.mktemp("tree")
    planted(root, tree)
    train, val = (tree.get(split, ("", []))[1] for split in ("train", "val" if "val" in tree else "test"))
    try:
        source = job_source(settings("train", root))
    except UserError as problem:
        assert len(train) < 2 or train != val, refusal(problem)
        return
    assert train == val == list(source.folders) and len(source.train.paths) == len(source.val.paths) == 2 * len(train)


@pytest.mark.parametrize("limit", [1, 3, 6, 7])
def test_images_that_are_every_split_are_so_with_a_limit(limit, tmp_path):
    planted(tmp_path, {"alone": (".", ["ant", "bee", "cat"])})
    words = ["job=check_data", "data=images", f"data.root={tmp_path}", f"data.limit={limit}", *BASE[1:]]
    images = whole_source(composed(words))
    assert images.val is images.train and len(images.train.paths) == min(limit, 6)


def test_class_folders_alone(tmp_path, checkpoint, cache):
    planted(tmp_path, {"alone": (".", ["ant", "train", "wasp"])})
    for split in ("val", "train", "test"):
        keys = settings("evaluate", tmp_path, split=split, ckpt=str(checkpoint))
        keys["data"]["cache_dir"] = str(cache)
        data = opened(keys).data
        assert data.size(split) == 6 and data.folders == ["ant", "train", "wasp"] and data.pooled == ["train"]
        assert "its 6 images in class folders are every split" in data.remarks[0]
    for job, root, line in (
        ("train", tmp_path, r"move the class folders \(ant, train, wasp\) to train/, and some images of each to val/"),
        ("train", tmp_path / "ant", "for images without classes type data=images"),
        ("evaluate", tmp_path / "ant", "for images without classes type data=images"),
    ):
        with pytest.raises(UserError, match=line):
            job_source(settings(job, root))


@pytest.mark.parametrize("deeper", ["set", "ILSVRC/Data/CLS-LOC"])
def test_a_set_that_lies_deeper_is_named(tmp_path, deeper):
    planted(tmp_path / deeper, {"train": ("train", ["ant", "bee"])})
    for job in ("train", "evaluate"):
        with pytest.raises(UserError, match=f"type data.root={tmp_path}/{deeper}$"):
            job_source(settings(job, tmp_path))
