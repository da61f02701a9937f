"""The job from a command line to its run folder, on photographs with planted copies."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"


def photograph(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((120, 80), Image.Resampling.BICUBIC)


@pytest.fixture
def place(tmp_path):
    """photos: two classes of 4 and 3 images; other: 6, of which two are copies, one a mirror image, one is gray."""
    seeds = iter(range(100))
    for split, count in (("train", 4), ("val", 3)):
        for name in ("ant", "bee"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                photograph(next(seeds)).save(tmp_path / "photos" / split / name / f"{number}.png")
    (tmp_path / "other").mkdir()
    photograph(1).resize((60, 40)).save(tmp_path / "other/small.jpg", quality=60)  # train/ant/1
    photograph(13).point(lambda level: level // 2 + 90).save(tmp_path / "other/bright.png")  # val/bee/2
    ImageOps.mirror(photograph(6)).save(tmp_path / "other/turned.png")  # train/bee/2
    Image.new("RGB", (50, 50), "gray").save(tmp_path / "other/flat.png")
    for seed in (50, 51):
        photograph(seed).save(tmp_path / f"other/{seed}.png")
    return tmp_path


def run(place, *words):
    words = ["job=overlap", "data=folder", f"data.root={place}/photos", f"data.cache_dir={place}/cache",
             "trainer.accelerator=cpu", "overlap.copies=5", *words]  # fmt: skip
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    JOBS["overlap"](settings, place / "run")
    return json.loads((place / "run/summary.json").read_text())


def table(place, name):
    with open(place / f"run/tables/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_planted_copies_are_found_and_listed(place):
    summary = run(place, f"overlap.other={place}/other", "overlap.mirrored=true", "overlap.shown=2")
    pairs = {(Path(row["path"]).relative_to(place).as_posix(), Path(row["other"]).name, row["mirrored"])
             for row in table(place, "overlap/pairs")}  # fmt: skip
    assert pairs == {
        ("photos/train/ant/1.png", "small.jpg", "False"),
        ("photos/val/bee/2.png", "bright.png", "False"),
        ("photos/train/bee/2.png", "turned.png", "True"),
    }
    leave = table(place, "overlap")
    assert {row["path"] for row in leave} == {str(place / path) for path, *_ in pairs}
    assert all(Path(row["path"]).is_file() and float(row["correlation"]) >= 0.97 for row in leave)
    assert summary["finished"] and {key.removeprefix("overlap/"): value for key, value in summary["numbers"].items()
                                    if key in ("overlap/images", "overlap/others", "overlap/pairs")} == {
        "images": 3, "others": 3, "pairs": 3,
    }  # fmt: skip
    sets = table(place, "overlap/sets")
    assert [row["of one color"] for row in sets] == ["0", "1"] and [row["images"] for row in sets] == ["14", "6"]
    assert [row["most in one class"] for row in sets] == ["2", "3"]
    drawn = {path.name for path in (place / "run/pictures/overlap").iterdir()}
    assert drawn == {"pairs.jpg", "below.jpg", "likeness.png"}
    page = (place / "run/report/index.html").read_text()
    assert "Which images two sets share" in page


@pytest.mark.slow
def test_train_against_val_without_any_copy(place):
    summary = run(place)
    assert summary["numbers"]["overlap/images"] == 0 and summary["numbers"]["overlap/highest"] < 0.97
    assert not (place / "run/tables/overlap.csv").exists() and not (place / "run/tables/overlap/pairs.csv").exists()
    assert {path.name for path in (place / "run/pictures/overlap").iterdir()} == {"below.jpg", "likeness.png"}
    assert [row["copy"] for row in table(place, "overlap/copies")][2].startswith("2 % cropped")


def test_a_folder_of_one_image(place):
    (place / "single").mkdir()
    photograph(2).save(place / "single/it.png")
    assert run(place, f"overlap.other={place}/single")["numbers"]["overlap/highest"] == 1.0
    assert [row["other"] for row in table(place, "overlap/pairs")] == [str(place / "single/it.png")]


def test_images_of_one_color_alone_are_told(place):
    (place / "blank").mkdir()
    for color in ("white", "black"):
        Image.new("RGB", (40, 40), color).save(place / f"blank/{color}.png")
    with pytest.raises(UserError, match="all 2 images of blank have one color only; nothing in them can be compared"):
        run(place, f"overlap.other={place}/blank")


@pytest.mark.slow
def test_many_pairs_make_several_pictures(place):
    (place / "twice").mkdir()
    for seed in range(14):
        photograph(seed).save(place / f"twice/{seed:02}.png")
        photograph(seed).save(place / f"twice/{seed:02}_again.png")
    from convscope.analyses.overlap import job

    before, job.PAGE = job.PAGE, 5
    try:
        numbers = run(place, f"overlap.other={place}/twice", "overlap.shown=12")["numbers"]
    finally:
        job.PAGE = before
    assert numbers["overlap/pairs"] == 28 and numbers["overlap/images"] == 14 and numbers["overlap/others"] == 28
    drawn = {path.name for path in (place / "run/pictures/overlap").iterdir()}
    assert drawn == {"pairs.jpg", "pairs_2.jpg", "pairs_3.jpg", "likeness.png"}
