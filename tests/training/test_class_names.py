"""Names that classes.csv gets after training reach the page of the run."""

import json

import pytest

from convscope.training.class_names import rename_classes


@pytest.fixture
def old_run(tmp_path):
    """A run of an older version, which knows no folders, and its images: two classes called by their folders."""
    images, run = tmp_path / "photos", tmp_path / "run"
    for folder in ("k1", "k2"):
        (images / "train" / folder).mkdir(parents=True)
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text(f"data:\n  root: {images}\n")
    for file in ("about.json", "summary.json"):
        (run / file).write_text(json.dumps({"job": "train", "classes": ["k1", "k2"], "other": 3}))
    return images, run


def classes(run, file="about.json"):
    return json.loads((run / file).read_text())["classes"]


def test_names_are_read_anew(old_run):
    images, run = old_run
    assert rename_classes(run) == [] and classes(run) == ["k1", "k2"]  # no classes.csv
    (images / "classes.csv").write_text("wnid,name\nk2,hound\nk1,tabby\n")
    assert rename_classes(run) == ["tabby", "hound"]
    assert classes(run) == classes(run, "summary.json") == ["tabby", "hound"]
    assert json.loads((run / "about.json").read_text())["other"] == 3
    assert rename_classes(run) == []  # as they were


def test_other_folders_rename_nothing(old_run):
    images, run = old_run
    (images / "classes.csv").write_text("wnid,name\nk1,tabby\n")
    (images / "train" / "k0").mkdir()
    assert rename_classes(run) == [] and classes(run) == ["k1", "k2"]


def test_a_run_without_images_or_records_is_left_as_it_is(old_run):
    images, run = old_run
    (images / "classes.csv").write_text("wnid,name\nk1,tabby\n")
    (run / "about.json").write_text("{")
    assert rename_classes(run) == []
    (run / ".hydra" / "config.yaml").write_text("data: {root: 7}\n")
    assert rename_classes(run) == []
