"""The embedded data set: the same for the same address, true to what it says of itself, and not too easy."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

import conftest
from convscope.data.critters.face import PARTS
from convscope.data.critters.scene import plan, render, scene
from convscope.data.critters.source import critters, held_signals, truth
from convscope.data.critters.species import SPECIES
from convscope.errors import UserError

SRC = str(Path(__file__).resolve().parents[2] / "src")


def many(split: str, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([scene(0, split, index, size).image for index in range(count)])
    return images, np.arange(count) % len(SPECIES)


@pytest.fixture(scope="module")
def small() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"train": many("train", 1000, 32), "val": many("val", 300, 32)}


def python(code: str, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": SRC, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_other_processes_draw_the_same(tmp_path: Path) -> None:
    source = critters(270, 10, 16, 5, tmp_path)  # enough of them for several processes
    for split, pixels in (("train", source.train), ("val", source.val)):
        for index in (0, 1, 9, len(pixels.labels) - 1):
            alone = scene(5, split, index, 16)
            assert np.array_equal(pixels.images[index], alone.image)
            assert pixels.labels[index] == alone.species
    assert not np.array_equal(source.train.images[:10], source.val.images)
    assert not np.array_equal(source.val.images, critters(10, 10, 16, 6, None).val.images)


def test_the_cache_is_read_the_second_time(tmp_path: Path) -> None:
    first = critters(20, 10, 24, 0, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    again = critters(20, 10, 24, 0, tmp_path)
    assert len(stamps) == 2 and stamps == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert np.array_equal(first.train.images, again.train.images)
    assert np.array_equal(first.val.images, critters(20, 10, 24, 0, None).val.images)
    assert critters(20, 10, 32, 0, tmp_path).train.images.shape == (20, 32, 32, 3)


def test_another_size_shows_the_same_scene() -> None:
    for index in range(20):
        coarse, fine = scene(1, "train", index, 64), scene(1, "train", index, 192)
        assert np.allclose(coarse.boxes * 3, fine.boxes, atol=1e-3)
        shrunk = fine.mask.reshape(64, 3, 64, 3).mean(axis=(1, 3)) > 0.5
        assert (shrunk & (coarse.mask > 0)).sum() > 0.92 * (shrunk | (coarse.mask > 0)).sum()
        means = fine.image.reshape(64, 3, 64, 3, 3).mean(axis=(1, 3))
        assert np.abs(means - coarse.image).mean() < 9


def test_every_species_comes_equally_often() -> None:
    source = critters(40, 20, 16, 0, None)
    assert source.classes == sorted(source.classes) and len(set(source.classes)) == 10
    assert np.bincount(source.train.labels).tolist() == [4] * 10
    assert np.bincount(source.val.labels).tolist() == [2] * 10


def test_mask_and_boxes_lie_in_the_picture() -> None:
    known = truth(2, "val", list(range(60)), 64)
    assert known.masks.shape == (60, 64, 64) and known.masks.dtype == np.uint8 and set(np.unique(known.masks)) == {0, 1}
    assert known.boxes.shape == (60, len(PARTS), 4)
    x0, y0, x1, y1 = np.moveaxis(known.boxes, 2, 0)
    assert (x0 >= 0).all() and (y0 >= 0).all() and (x1 <= 64).all() and (y1 <= 64).all()
    assert (x1 - x0 > 1).all() and (y1 - y0 > 1).all()
    assert (known.masks.mean(axis=(1, 2)) > 0.1).all() and (known.masks.mean(axis=(1, 2)) < 0.95).all()
    middles = (known.boxes[..., :2] + known.boxes[..., 2:]) / 2
    assert (middles[:, 0, 0] < middles[:, 1, 0]).all() and (middles[:, 4, 0] < middles[:, 5, 0]).all()  # left is left
    face = known.boxes[:, :4]  # a center crop of 224 from 256 cuts off no eye, nose or mouth
    assert (face >= 64 / 16 - 1).all() and (face <= 64 * 15 / 16 + 1).all()


def test_the_mask_is_where_the_animal_is_seen() -> None:
    """Another color of fur changes pixels within the mask; outside only at its rim, and the tips of whiskers."""
    for index in range(20):
        drawing, species = plan(3, "train", index), SPECIES[index % 10]
        one = render(drawing, species, 80)
        other = render(drawing._replace(look=drawing.look._replace(fur=(20.0, 250.0, 20.0))), species, 80)
        changed = (one.image != other.image).any(axis=2)
        assert (changed & ~ndimage.binary_dilation(one.mask > 0, np.ones((3, 3)))).mean() < 0.003
        assert changed[one.mask > 0].mean() > 0.8


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.name)
def test_the_boxes_are_where_the_parts_are(species) -> None:
    """What changes when a part is all but taken away lies within its boxes, and fills them."""
    tiny, ears = 0.02, species.ears
    closed = species._replace(eyes=species.eyes._replace(rx=tiny, ry=tiny))
    noseless = species._replace(nose=tuple(nose.mean(0) + tiny * (nose - nose.mean(0)) for nose in species.nose))
    recolored = species._replace(
        ears=ears._replace(shade="light" if ears.shade == "dark" else "dark", inner=0, tip=None)
    )
    for other, parts, filled in ((closed, (0, 1), 0.7), (noseless, (2,), 0.7), (recolored, (4, 5), 0.3)):
        drawing = next(one for one in (plan(4, "val", index) for index in range(99)) if unhidden(one, species))
        one, two = render(drawing, species, 160), render(drawing, other, 160)
        changed = (one.image != two.image).any(axis=2)
        inside = np.zeros_like(changed)
        for x0, y0, x1, y1 in one.boxes[list(parts)]:
            window = np.s_[max(int(y0) - 1, 0) : int(y1) + 2, max(int(x0) - 1, 0) : int(x1) + 2]
            inside[window] = True
            rows, columns = np.nonzero(changed[window])
            assert np.ptp(rows) * np.ptp(columns) > filled * (y1 - y0) * (x1 - x0)
        assert not (changed & ~inside).any()


def unhidden(drawing, species) -> bool:
    """Whether nothing lies before the face: the animal covers every pixel of the boxes of eyes, nose and mouth."""
    critter = render(drawing, species, 64)
    return all(critter.mask[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].all() for x0, y0, x1, y1 in critter.boxes[:4])


@pytest.mark.slow
def test_color_does_not_tell_the_species(small) -> None:
    means = {split: images.mean(axis=(1, 2)) / 64 - 2 for split, (images, _) in small.items()}
    model = LogisticRegression(max_iter=300).fit(means["train"], small["train"][1])
    assert model.score(means["val"], small["val"][1]) < 0.25


@pytest.mark.slow
def test_a_linear_classifier_stays_below_60_percent(small) -> None:
    (images, labels), (held, answers) = small["train"], small["val"]
    model = LogisticRegression(C=3e-3, max_iter=100).fit(images.reshape(len(images), -1) / 128 - 1, labels)
    assert 0.15 < model.score(held.reshape(len(held), -1) / 128 - 1, answers) < 0.6


@pytest.mark.parametrize(
    ("train", "val", "size", "words"),
    [
        (9, 10, 32, "9 train and 10 val critters cannot show 10 species: ask for 10 or more each"),
        (10, 0, 32, "10 train and 0 val critters cannot show 10 species"),
        (10, 10, 15, "critters of 15 x 15 pixels show no parts: ask for 16 pixels or more"),
    ],
)
def test_too_few_or_too_small_is_told(train: int, val: int, size: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        critters(train, val, size, 0, None)


def test_scene_tells_what_it_cannot_draw() -> None:
    with pytest.raises(UserError, match="critters of 8 x 8 pixels"):
        scene(0, "train", 0, 8)
    with pytest.raises(UserError, match="no split 'test': choose train or val"):
        scene(0, "test", 0, 32)


@pytest.mark.parametrize("what", ["a file", "a damaged file"])
def test_a_cache_that_cannot_be_used_stops_nothing_and_is_told(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    if what == "a damaged file":
        critters(10, 10, 16, 0, tmp_path)
        next(tmp_path.glob("*train*.npy")).write_bytes(b"torn")
    source = critters(10, 10, 16, 0, tmp_path / "file" if what == "a file" else tmp_path)
    in_memory = critters(10, 10, 16, 0, None)
    assert np.array_equal(source.train.images, in_memory.train.images)
    [remark] = source.remarks
    assert remark.startswith(f"data.cache_dir={tmp_path}") and "drawn at every start: name another folder" in remark


@pytest.mark.slow
def test_a_killed_drawing_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from convscope.data.critters.source import critters; "
    process = python(code + "critters(250, 10, 128, 0, Path(sys.argv[1]))", str(tmp_path))
    part = tmp_path / "critters-v1-train-250x128-seed0.part"
    while not (part.exists() and part.stat().st_size > 10_000) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert part.exists() and not list(tmp_path.glob("*.npy"))
    source = critters(250, 10, 128, 0, tmp_path)
    assert np.array_equal(source.train.images[249], scene(0, "train", 249, 128).image)
    assert not part.exists()


@pytest.mark.slow
def test_a_script_without_main_guard_is_told(tmp_path: Path) -> None:
    code = "from convscope.data.critters.source import critters\ncritters(400, 10, 16, 0, None)\n"
    (tmp_path / "script.py").write_text(code)
    ended = conftest.python(tmp_path / "script.py", cwd=tmp_path, PYTHONPATH=SRC)
    assert "put the script's code under  if __name__ == '__main__':" in ended.stderr
    assert ended.returncode != 0


def test_drawing_needs_no_torch() -> None:
    process = python("import sys, convscope.data.critters.scene; sys.exit('torch' in sys.modules)")
    process.communicate()
    assert process.returncode == 0


def test_a_signal_that_comes_while_processes_start_takes_effect_once_they_have():
    order = []
    before = signal.signal(signal.SIGTERM, lambda *_: order.append("handled"))
    try:
        with held_signals():
            signal.raise_signal(signal.SIGTERM)
            order.append("started")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert order == ["started", "handled"]
