"""job=check_data, and training on images that are not all sound, end to end: what the run folder and its page say."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"
TINY = ["data.image_size=64", "model.width=0.05", "optim.batch_size=4", "evolution=off", "trainer=smoke"]
ENDED = r"^a process that loads images (was ended by the signal Killed|ended before)[^\n]*data.workers"


@pytest.fixture
def root(tmp_path):
    draw = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for name in ("<b>ant", "bee"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(count):
                noise = draw.integers(0, 256, (80, 90, 3), np.uint8)
                Image.fromarray(noise).save(tmp_path / "set" / split / name / f"{number}.png")
    return tmp_path / "set"


def run(folder, *words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = [*words, f"data.cache_dir={folder.parent}/cache"]
        settings = OmegaConf.to_container(compose("config", overrides=list(map(str, words))), resolve=True)
    JOBS[settings["job"]](settings, folder)
    return json.loads((folder / "summary.json").read_text())


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check(folder, root, *words):
    return run(folder, "job=check_data", "data=folder", f"data.root={root}", "data.image_size=64", *words)


def test_everything_that_is_wrong_is_in_the_run_folder(root, tmp_path, capsys):
    (root / "train/bee/3.png").write_bytes(b"torn")
    shutil.copy(root / "train/bee/1.png", root / "val/<b>ant/copy.png")
    (root / "train/bee/list.txt").touch()
    summary = check(tmp_path / "run", root)
    assert summary["finished"] and summary["bad_images"] == 1
    numbers = {name.removeprefix("check/"): value for name, value in summary["numbers"].items()}
    assert numbers == {"images": 25, "bad": 1, "copies": 1, "shared": 1, "conflicts": 1, "enlarged": 0}
    table = tmp_path / "run/tables/check"
    assert [row["bad"] for row in rows(table / "splits.csv")] == ["1", "0"]
    assert {row["class"]: (row["train"], row["train bad"], row["val"]) for row in rows(table / "classes.csv")} == {
        "<b>ant": ("8", "0", "5"), "bee": ("7", "1", "4"),
    }  # fmt: skip
    [left] = rows(tmp_path / "run/bad_images.csv")
    assert left["path"] == str(root / "train/bee/3.png") and "no image" in left["reason"]
    [copies] = rows(table / "copies.csv")
    assert copies["splits"] == "train, val" and copies["classes"] == "<b>ant, bee"
    assert rows(table / "passed_over.csv")[0]["files"] == "1"
    printed, page = capsys.readouterr().out, (tmp_path / "run/report/index.html").read_text()
    assert len(summary["warnings"]) == 5
    for line in summary["warnings"]:
        assert f"warning: {line}" in printed.partition("look at")[2]  # after all else
    assert "What the images are" in page and "&lt;b&gt;ant" in page and "<b>ant" not in page
    assert "1 image of 25 cannot be read" in page
    with Image.open(tmp_path / "run/pictures/check/images.jpg") as sheet:
        assert sheet.height > 200


def test_it_reads_what_training_refuses_and_says_why(root, tmp_path):
    (root / "val/bee").rename(root / "val/wasp")
    refused = check(tmp_path / "other", root)["warnings"][0]
    assert "training refuses this set: " in refused and "only in train: bee; only in val: wasp" in refused
    assert [row["class"] for row in rows(tmp_path / "other/tables/check/classes.csv")] == ["<b>ant", "bee", "wasp"]
    shutil.rmtree(root / "val")
    summary = check(tmp_path / "train", root)
    assert "has no folder val or test" in summary["warnings"][0] and summary["numbers"]["check/images"] == 16
    shutil.rmtree(root / "train/bee")
    assert "has only one class, <b>ant" in check(tmp_path / "one", root)["warnings"][0]
    unlabeled = run(tmp_path / "images", "job=check_data", "data=images", f"data.root={root}", "data.image_size=64")
    assert "it has no classes to learn" in unlabeled["warnings"][0] and unlabeled["numbers"]["check/copies"] == 0


@pytest.mark.parametrize("data", ["critters", "stream"])
def test_sets_that_are_no_folders_of_files(data, root, tmp_path):
    words = ["data.train=20", "data.val=20"]
    if data == "stream":
        run(tmp_path / "made", "job=convert", "data=folder", f"data.root={root}", "data.image_size=64",
            f"convert.to={tmp_path}/chunks")  # fmt: skip
        words = [f"data.root={tmp_path}/chunks"]
    summary = run(tmp_path / "run", "job=check_data", f"data={data}", "data.image_size=64", *words)
    assert summary["numbers"]["check/images"] == (24 if data == "stream" else 40)
    assert summary["numbers"]["check/bad"] == summary["numbers"]["check/copies"] == 0


def test_a_place_without_images_is_one_line(tmp_path):
    (tmp_path / "set/train/ant").mkdir(parents=True)
    for root, message in ((tmp_path / "set", "has no images in class folders"), (tmp_path / "no", "is no folder")):
        with pytest.raises(UserError, match=message):
            check(tmp_path / "run", root)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_training_leaves_out_what_cannot_be_read_and_says_so(root, tmp_path, capsys):
    words = ["data=folder", f"data.root={root}", *TINY]
    (root / "train/bee/3.png").write_bytes(b"torn")
    for path in (root / "val/bee").iterdir():
        path.write_bytes(b"")
    (root / "train/bee/boxes.xml").touch()
    for split in ("train", "val"):
        (root / split / "cat").symlink_to(root / "nowhere")
    with pytest.raises(UserError, match=r"bee/3.png cannot be read: .*; mend or remove it"):
        run(tmp_path / "stopped", *words)
    summary = run(tmp_path / "run", *words, "data.on_bad_image=skip")
    assert summary["finished"] and summary["bad_images"] == 5
    left = rows(tmp_path / "run/bad_images.csv")
    assert {row["reason"] for row in left} == {"it is no image, or of a format that is not known", "the file is empty"}
    assert [row["path"] for row in left][0] == str(root / "train/bee/3.png") and len(left) == 5
    printed, page = capsys.readouterr().out, (tmp_path / "run/report/index.html").read_text()
    beside = f"not read, beside the images of {root}: no image: .xml (1, e.g. train/bee/boxes.xml), a dangling"
    for line in ("5 images cannot be read and are left out", "no image of class bee in val can be read", beside):
        assert printed.count(line) == 1 and line in page and any(line in warning for warning in summary["warnings"])
    looked = run(tmp_path / "look", "job=visualize", f"ckpt={tmp_path}/run/checkpoints/last.ckpt", "evolution.maps=2")
    assert looked["bad_images"] >= 4 and (tmp_path / "look/bad_images.csv").is_file()


def test_a_loading_process_that_is_killed_ends_the_run_with_one_line(root, tmp_path):
    folder = tmp_path / "run"

    def kill_one():
        while not (folder / "checkpoints/last.ckpt").exists():
            time.sleep(0.05)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    words = [word for word in TINY if word != "trainer=smoke"]
    with pytest.raises(UserError, match=ENDED):
        run(folder, "data=folder", f"data.root={root}", *words, "data.cache_gib=0", "data.workers=1",
            "trainer.max_epochs=200", "trainer.accelerator=cpu")  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    assert not summary["finished"] and "was ended by the signal Killed" in summary["problem"]
    assert (folder / "checkpoints/last.ckpt").is_file()
