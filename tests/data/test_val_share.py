"""Folders of classes without a folder for validation, divided by data.val_share: by the rule that the docs state."""

import hashlib
import json
import os
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import convscope
from convscope.analyses.check_data.job import read_data_set
from convscope.analyses.overlap.compute.collection import train_and_val
from convscope.cli.jobs import JOBS
from convscope.config import build_config
from convscope.data import sources
from convscope.data.config import StoredSet, data_settings, job_source, whole_source
from convscope.errors import UserError
from random_settings import composed, opened, tried

NAMES = ["ant", "Bee", "cat", "ünï", "dew", "x y"]
DEPTHS = ["", "deep/", "deep/er/", "train/"]
SHARES = st.one_of(st.sampled_from([0.2, 0.5, 0.001, 0.999]), st.floats(0, 1, exclude_min=True, exclude_max=True))


@st.composite
def trees(draw):
    """Class -> relative files of its images, and the folder that the class folders lie in."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=5, unique=True))
    files = st.lists(st.tuples(st.sampled_from(DEPTHS), st.integers(0, 40)), min_size=1, max_size=30, unique=True)
    tree = {name: [f"{place}{number}.png" for place, number in draw(files)] for name in names}
    return tree, draw(st.sampled_from([".", "train", "Training"]))


def ranked(paths):
    """The paths below the class folders' folder, by their hashes: the first ones of a class are for validation."""
    return sorted(paths, key=lambda path: hashlib.sha256(path.encode()).hexdigest())


def walked(path):
    """Sorts paths as a walk meets them: the files of a folder, then what is in its folders."""
    *above, name = path.split("/")
    return [*((1, folder) for folder in above), (0, name)]


def planted(root, tree, above="."):
    for name, files in tree.items():
        for file in files:
            path = root / above / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x89PNG\r\n" + b"-" * 20)
    return root


def relative(split, root):
    return [path.relative_to(root).as_posix() for path in split.paths]


@tried(40)
@given(tree=trees(), share=SHARES, with_test=st.booleans())
def test_each_class_is_divided_once_and_in_the_order_of_names(tree, share, with_test, tmp_path_factory):
    (tree, above), root = tree, tmp_path_factory.mktemp("tree")
    planted(root, tree, above)
    if with_test:
        planted(root, {"ant": ["1.png"], "cat": ["2.png", "3.png"]}, "test")
    if all(len(files) == 1 for files in tree.values()):
        with pytest.raises(UserError, match="needs two images or more of a class"):
            sources.folder(root, share)
        return
    source, place = sources.folder(root, share), root / above
    assert source.folders == sorted(tree)
    train, val = relative(source.train, place), relative(source.val, place)
    assert sorted(train + val) == sorted(f"{name}/{file}" for name, files in tree.items() for file in files)
    for paths, labels in ((train, source.train.labels), (val, source.val.labels)):
        assert [path.split("/")[0] for path in paths] == [source.folders[label] for label in labels]
        assert labels.tolist() == sorted(labels) and paths == sorted(paths, key=walked)
    for name, files in tree.items():
        chosen = {path for path in val if path.startswith(f"{name}/")}
        assert chosen == set(ranked(f"{name}/{file}" for file in files)[: len(chosen)])
        assert min(1, len(files) - 1) <= len(chosen) <= max(0, len(files) - 1)
        assert abs(len(chosen) - share * len(files)) <= 0.5 or len(chosen) in (0, 1, len(files) - 1)
    looked_at = sources.present_splits(root, with_test, share)
    assert looked_at.train.paths == source.train.paths and looked_at.val.paths == source.val.paths
    assert (looked_at.test is not None and len(looked_at.test.paths) == 3) is with_test
    single = sorted(name for name, files in tree.items() if len(files) == 1)
    lines = [f"classes with one image have none for validation: {', '.join(single)}"] if single else []
    assert source.remarks == lines


@tried(25)
@given(tree=trees(), share=SHARES, more=st.lists(st.integers(50, 90), max_size=12, unique=True))
def test_the_division_moves_with_the_folder_and_stays_when_images_are_added(tree, share, more, tmp_path_factory):
    (tree, above), place = tree, tmp_path_factory.mktemp("tree")
    tree["ant"] = [*tree.get("ant", []), "60.png", "61.png"]
    before = relative(sources.folder(planted(place / "a", tree, above), share).val, place / "a" / above)
    (place / "b").mkdir()
    shutil.move(place / "a" / above, place / "b/train")
    assert relative(sources.folder(place / "b", share).val, place / "b/train") == before
    with chdir(place / "b/train"):
        (divided,) = [sources.folder(".", share)] if above != "train" else [sources.folder("../train", share)]
        assert [os.path.relpath(path) for path in divided.val.paths] == before
    planted(place / "b", {"ant": [f"new/{number}.jpeg" for number in more]}, "train")
    after = sources.folder(place / "b", share)
    moved = {path for path in before if path not in relative(after.val, place / "b/train")}
    moved |= {path for path in relative(after.val, place / "b/train") if "new/" not in path and path not in before}
    assert len(moved) <= len(more) and all(path.startswith("ant/") for path in moved)


def test_what_cannot_be_divided_is_told_with_what_to_type(tmp_path):
    def refused(root, share=0.2, read=sources.folder):
        with pytest.raises(UserError) as caught:
            read(root, share) if share else read(root)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    two = {"ant": ["1.png", "2.png"], "bee": ["1.png", "2.png", "deep/3.png"]}
    plain, nested = planted(tmp_path / "plain", two), planted(tmp_path / "nested", {"a": ["b/1.png"], "c": ["d/2.png"]})
    for root in (plain, nested, planted(tmp_path / "only", two, "train")):
        assert "type data.val_share=0.2 to validate with a fifth of each class, or move" in refused(root, None)
    both = planted(planted(tmp_path / "both", two, "train"), two, "valid")
    assert "has a folder valid of its own; type data.val_share=null" in refused(both)
    assert sources.folder(both).val.paths and len(sources.present_splits(both).val.paths) == 5
    assert "type data.root=" in refused(planted(tmp_path / "deeper/set", two, "train").parent)
    assert "has only one class, ant" in refused(planted(tmp_path / "one", {"ant": ["1.png", "2.png"]}))
    (plain / "cat").mkdir()
    assert "class folders without images: cat" in refused(plain)
    (tmp_path / "empty").mkdir()
    assert "has no folder train" in refused(tmp_path / "empty") and "no folder train" in refused(
        tmp_path / "empty", read=lambda root, share: sources.present_splits(root, val_share=share)
    )
    for wrong in (0, 1, 0.0, 1.5, -0.2, "a fifth", True, [0.2], float("nan")):
        with pytest.raises(UserError, match="^data.val_share="):
            build_config(StoredSet, {"val_share": wrong})


def test_without_a_share_folders_are_read_as_before(tmp_path):
    """A class folder is a folder of a split; all its images at any depth are of this class."""
    tree = {"b": ["10.png", "9.png", "z/1.png", "a/b/c.png"], "a": ["group/one/1.png", "group/two/1.png"]}
    planted(planted(tmp_path, tree, "train"), tree, "val")
    source = sources.folder(tmp_path)
    expected = ["a/group/one/1.png", "a/group/two/1.png", "b/10.png", "b/9.png", "b/a/b/c.png", "b/z/1.png"]
    for name, split in (("train", source.train), ("val", source.val)):
        assert relative(split, tmp_path / name) == expected and split.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert source.folders == ["a", "b"] and source.remarks == []


TINY = ["data=folder", "data.image_size=64", "model.width=0.05", "optim=paper", "optim.batch_size=20","evolution=off",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "data.workers=0"]  # fmt: skip


def photographs(root, count, above="."):
    noise = np.random.default_rng(0)
    for number, name in enumerate(("ant", "bee", "cat")):
        (root / above / name / "deep").mkdir(parents=True)
        for image in range(count):
            pixels = np.clip(noise.normal(60 + 60 * number, 40, (70, 72, 3)), 0, 255)
            place = root / above / name / ("deep" if image % 3 else ".")
            Image.fromarray(pixels.astype("uint8")).save(place / f"{image}.png")
    return root


@pytest.fixture(scope="module")
def trained_with_shares(tmp_path_factory):
    """A sweep over two shares of one folder of class folders, as a user starts it."""
    place = tmp_path_factory.mktemp("shares")
    root = photographs(place / "photos", 10)
    (root / "classes.csv").write_text("wnid,name\nant,the ant\n")
    words = [*TINY, f"data.root={root}", f"data.cache_dir={place}/cache", "-m", "data.val_share=0.2,0.5"]
    ended = convscope(*words, f"hydra.sweep.dir={place}/sweep", cwd=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "not read" not in ended.stdout + ended.stderr  # classes.csv is
    return place


@pytest.mark.slow
def test_a_net_is_looked_at_with_the_images_that_it_was_not_trained_on(trained_with_shares):
    place = trained_with_shares
    grown = shutil.copytree(place / "photos", place / "grown")
    for number in range(20, 26):
        shutil.copy(grown / "ant/0.png", grown / f"ant/{number}.png")

    def subject(run, *words):
        ckpt = f"ckpt={place}/sweep/{run}/checkpoints/last.ckpt"
        plain = [word for word in words if word != "data.val_share=0.4"]
        settings = composed(["job=evaluate", ckpt, *plain, "trainer.accelerator=cpu"])
        if len(plain) < len(words):  # as from Python: convscope.load(run, val_share=0.4)
            settings["data"]["val_share"] = 0.4
        settings["data"]["cache_dir"] = f"{place}/cache"
        return opened({**settings, "words": list(words)})

    for number, (share, count) in enumerate((("0.2", 6), ("0.5", 15))):
        (run,) = (path.name for path in (place / "sweep").glob(f"{number}_*"))
        summary = json.loads((place / "sweep" / run / "summary.json").read_text())
        assert summary["images"] == {"train": 30 - count, "val": count} and summary["classes"][0] == "the ant"
        data = subject(run).data
        files = [(place / "photos" / name).rglob("*.png") for name in ("ant", "bee", "cat")]
        paths = [ranked(path.relative_to(place / "photos").as_posix() for path in images) for images in files]
        expected = sorted((path for images in paths for path in images[: count // 3]), key=walked)
        assert data.names("val", range(count)) == [Path(path).name for path in expected]
        assert subject(run).own_images
        moved = f"++data.root={shutil.copytree(place / 'photos', place / f'moved{number}')}"
        assert subject(run, moved).own_images and subject(run, moved).data.size("val") == count
        with pytest.raises(UserError, match=r"images in (train|val), now \d+; for other images type data=folder too"):
            subject(run, f"++data.root={grown}")
        with pytest.raises(UserError, match=f"trained with data.val_share={share} on these images, not with .*=0.4"):
            subject(run, "data.val_share=0.4")
        with pytest.raises(UserError, match=f"with data.val_share={share} .*, not with data.val_share=null; type data"):
            subject(run, "data=folder", f"data.root={place}/photos", "data.image_size=64")
    shutil.copy(place / "photos/ant/0.png", place / "photos/ant/77.png")
    try:
        with pytest.raises(UserError, match=r"images in (train|val), now \d+; for other images"):
            subject(run)
    finally:
        (place / "photos/ant/77.png").unlink()


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_share_alone(trained_with_shares):
    place = trained_with_shares
    run = next((place / "sweep").glob("0_*"))
    ended = convscope(f"resume={run}", "trainer.max_epochs=2", "data.val_share=0.3", cwd=place)
    assert ended.returncode == 1 and "was trained with data.val_share=0.2, now 0.3" in ended.stderr, ended.stderr
    ended = convscope(f"resume={run}", "trainer.max_epochs=2", cwd=place)
    assert ended.returncode == 0 and "goes on after epoch 1 of 2" in ended.stdout, ended.stderr


@pytest.mark.slow
def test_jobs_on_images_take_the_same_division(tmp_path):
    root = photographs(tmp_path / "photos", 10)
    (root / "notes.txt").touch()
    shutil.copy(root / "ant/0.png", root / "bee/copy.png")
    words = ["data=folder", f"data.root={root}", "data.val_share=0.3", f"data.cache_dir={tmp_path}/cache",
             "data.image_size=64", "trainer.accelerator=cpu"]  # fmt: skip
    source = job_source(composed(["job=train", *words]))
    for job in ("train", "evaluate", "transfer", "overlap", "check_data", "convert"):
        settings = composed([f"job={job}", *words])
        for read in (job_source, whole_source):
            assert [split.paths for split in read(settings)[1:3]] == [source.train.paths, source.val.paths]
    assert (len(source.train.paths), len(source.val.paths)) == (22, 9)
    few = whole_source(composed(["job=evaluate", *words, "data.limit=7", "seed=3"]))
    for part, whole in ((few.train, source.train), (few.val, source.val)):
        assert len(part.paths) == 7 and set(part.paths) < set(whole.paths) and set(part.labels) == {0, 1, 2}
    checked = composed(["job=check_data", *words])
    JOBS["check_data"](checked | {"words": words}, tmp_path / "run")
    rows = (tmp_path / "run/tables/check/splits.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["train", "22"], ["val", "9"]]
    assert "no image: .txt,1," in (tmp_path / "run/tables/check/passed_over.csv").read_text()
    train, val = train_and_val(source, "photos", 16, data_settings(checked))
    assert (train.total, val.total) == (22, 9)
    (root / "dog").mkdir()
    refused = read_data_set(lambda: whole_source(checked), root, 0.3)
    assert "without images: dog" in refused.refusal and refused.source.val.paths == source.val.paths
