"""The job from a command line to a set, and training on it: shown with names."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
TINY = ["model.width=0.05", "optim.batch_size=8", "evolution.maps=2", "trainer.accelerator=cpu", "data.workers=0"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two classes of noise, 20 images of each to train and 5 to validate, and one file that is no image."""
    root, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 5)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noise = draw.integers(0, 256, (80, 90, 3), np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{name}{number}.jpg")
    (root / "train/ant/letter.jpg").write_text("dear")
    return root


def run(words, folder):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=list(map(str, words))), resolve=True)
    JOBS[settings["job"]](settings, folder)
    return json.loads((folder / "summary.json").read_text())


def convert(photographs, place, *words):
    words = ["job=convert", "data=folder", f"data.root={photographs}", "data.image_size=64", "convert.chunk=4",
             f"convert.to={place}/set", *words]  # fmt: skip
    return run(words, place / "converted")


@pytest.fixture(scope="module")
def made(photographs, tmp_path_factory):
    place = tmp_path_factory.mktemp("made")
    convert(photographs, place, "data.on_bad_image=skip")
    return place / "set"


@pytest.mark.slow
def test_what_it_made_and_how_to_go_on(photographs, tmp_path, capsys):
    with pytest.raises(UserError, match=r"letter.jpg cannot be read: .*data.on_bad_image=skip"):
        convert(photographs, tmp_path)
    assert json.loads((tmp_path / "converted/summary.json").read_text())["finished"] is False
    summary = convert(photographs, tmp_path, "data.on_bad_image=skip")
    told = capsys.readouterr().out
    assert "was left unfinished; the conversion starts over" in told
    with open(tmp_path / "converted/tables/convert/splits.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["split"], row["images"], row["left out"]) for row in table] == [
        ("train", "40", "1"),
        ("val", "10", "0"),
    ]
    assert all(float(row["images a second"]) > 0 for row in table)
    assert "letter.jpg" in (tmp_path / "converted/tables/convert/left_out.csv").read_text()
    chunks = sum(path.stat().st_size for path in (tmp_path / "set").glob("*/chunk-*.bin"))
    assert summary["numbers"]["convert/images"] == 50
    assert 0.9 * chunks < summary["numbers"]["convert/bytes"] < chunks  # without names and offsets
    [line] = [line for line in told.splitlines() if line.startswith("train on it: ")]
    words = shlex.split(line.removeprefix("train on it: python src/run.py "))
    assert run([*words, *TINY, "trainer=smoke"], tmp_path / "run")["finished"]


def test_a_limited_part_of_images_in_memory(tmp_path):
    run(
        ["job=convert", "data=digits", "data.limit=20", "data.image_size=16", f"convert.to={tmp_path}/set"],
        tmp_path / "a",
    )
    assert json.loads((tmp_path / "set/set.json").read_text())["train"]["images"] == 20


@pytest.mark.slow
def test_pictures_name_the_images(made, tmp_path):
    run([*TINY, "job=visualize", "data=stream", f"data.root={made}", "data.image_size=64"], tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/index.jsonl").read_text().splitlines()]
    names = {name for line in lines for name in line.get("sheet", {}).get("names", [])}
    assert len(names) > 2 and names <= {f"{kind}{number}.jpg" for kind in ("ant", "bee") for number in range(5)}
    assert (tmp_path / "run/pictures/top9/conv5.jpg").is_file()


def test_a_conversion_needs_a_folder_to_write():
    with pytest.raises(UserError, match="job=convert writes a new folder; type convert.to=<folder>"):
        run(["job=convert"], Path("unused"))
