"""A converted set against the images that it was made of, local and remote; the errors about wrong sets."""

import io
import json
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.module import ImageData
from convscope.data.sampler import Share, WindowSampler
from convscope.data.settings import DataSettings
from convscope.data.sources import folder
from convscope.data.stream.conversion import Conversion, converted
from convscope.data.stream.source import stream
from convscope.errors import UserError
from data.short_training import Small, fit

S, R = 32, 37
NAMES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Smooth pictures, as photographs are, of several shapes: 60 to train, 15 to validate."""
    root, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 5)):
        for name in NAMES:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                coarse = Image.fromarray(draw.integers(0, 256, (5, 6, 3), np.uint8))
                coarse.resize((60, 50 + number), Image.Resampling.BICUBIC).save(
                    root / split / name / f"{name}{number}.png"
                )
    return root


@pytest.fixture(scope="module")
def converted_set(photographs, tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "set"
    splits = list(converted(folder(photographs), Conversion(str(place), chunk=4), S, 0, "stop"))
    assert [(split.split, split.images, split.bad) for split in splits] == [("train", 60, []), ("val", 15, [])]
    return place


def opened(place, tmp_path, gib=1.0, **changed):
    source = stream(str(place), S, tmp_path / "cache", gib)
    settings = {"image_size": S, "batch_size": 8, "workers": 0, "seed": 5, "cache_dir": str(tmp_path / "cache")}
    return ImageData(source, DataSettings(**{**settings, **changed}))


def test_the_net_sees_the_same_images(photographs, converted_set, tmp_path):
    """By name; both nets' inputs apart by what the JPEG lost, reckoned here by PIL alone."""
    near = ImageData(folder(photographs), DataSettings(S, 8, workers=0, seed=5, cache_dir=str(tmp_path / "files")))
    chunks = opened(converted_set, tmp_path)
    assert chunks.classes == near.classes == NAMES
    assert torch.allclose(chunks.mean, near.mean) and np.isclose(chunks.pixel_std, near.pixel_std, rtol=1e-5)
    for split in ("train", "val"):
        positions = range(near.size(split))
        at = {name: index for index, name in enumerate(near.names(split, positions))}
        same = [at[name] for name in chunks.names(split, positions)]
        assert sorted(same) == list(positions) and (same == list(positions)) == (split == "val")
        assert torch.equal(chunks.labels(split, positions), near.labels(split, same))
        lost = (chunks.images(split, positions) - near.images(split, same)).abs()
        stored = [near._store(split).split.images[index] for index in same]
        file_losses = [np.abs(through_jpeg(image).astype(int) - image).mean() for image in stored]
        assert lost.mean() < 1.2 * np.mean(file_losses) + 0.1 and lost.mean() < 3  # of 256 grey levels
        assert torch.equal(chunks.pixels(split, [3]).float(), chunks.pixels(split, positions)[[3]].float())


def through_jpeg(image):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=95)
    return np.array(Image.open(file))


def test_loaders_and_limits(converted_set, tmp_path):
    data = opened(converted_set, tmp_path)
    indices = torch.cat([batch.index for batch in data.train_dataloader()])
    assert sorted(indices.tolist()) == list(range(60)) and indices.tolist() != list(range(60))
    batch = next(iter(data.val_dataloader()))
    assert batch.label.dtype == torch.int64 and torch.equal(batch.label, data.labels("val", batch.index))
    limited_data = opened(converted_set, tmp_path, limit=9)
    assert limited_data.size("train") == limited_data.size("val") == 9
    assert limited_data.labels("val", range(9)).bincount().tolist() == [3, 3, 3]
    assert sorted(torch.cat([batch.index for batch in limited_data.train_dataloader()]).tolist()) == list(range(9))
    assert all(name in data.names("train", range(60)) for name in limited_data.names("train", range(9)))
    whole = next(iter(data.uncropped_dataloader("val", torch.tensor([2, 0]), 50, 2)))
    assert whole.image.shape == (2, 3, 50, 50)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "step"), [(0, 8), (0, 11), (2, 11)])  # the end of an epoch, and within the second
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_equals_an_unbroken_one(workers, step, converted_set, tmp_path):
    def run(name, resume=None):
        data = opened(converted_set, tmp_path, workers=workers)
        return fit(Small(S), data, tmp_path / name, {"every_n_train_steps": step}, resume, limit_val_batches=0)

    whole = run("whole")
    rest = run("rest", tmp_path / f"whole/{step}.ckpt")
    assert rest.fed == whole.fed_from(step) and len(whole.fed) == 24 == step + len(rest.fed)
    assert multiprocessing.active_children() == []  # ended with the training
    assert all(value.equal(whole.state_dict()[key]) for key, value in rest.state_dict().items())


def test_a_far_set_is_the_same_and_only_so_much_of_it_stays(converted_set, tmp_path):
    near, positions = opened(converted_set, tmp_path), range(60)
    sizes = [path.stat().st_size for path in (converted_set / "train").glob("*.bin")]
    assert len(sizes) == 15
    far = opened(f"local:{converted_set}", tmp_path)
    assert not list((tmp_path / "cache").glob("stream-*/train/*.bin"))  # nothing is fetched before it is read
    assert torch.equal(far.images("train", positions), near.images("train", positions))
    assert far.names("train", positions) == near.names("train", positions)
    [cache_folder] = (tmp_path / "cache").glob("stream-*")
    assert len(list((cache_folder / "train").glob("*.bin"))) == 15
    limit = 6 * max(sizes)
    split = far._splits["train"]
    split.files.store.limit = limit
    split.files._opened.clear()
    for path in (cache_folder / "train").glob("*.bin"):
        path.unlink()
    for index in [*positions, *positions]:
        split.files._opened.clear()
        assert np.array_equal(split.image(index), near._splits["train"].image(index))
        assert sum(path.stat().st_size for path in (cache_folder / "train").glob("*.bin")) <= limit
    with pytest.raises(UserError, match="data.cache_gib=1e-06 is too small for local:.*: 32 chunks, which training"):
        opened(f"local:{converted_set}", tmp_path, gib=1e-6)


def test_a_far_set_that_was_made_anew_is_fetched_anew(photographs, converted_set, tmp_path):
    remote = shutil.copytree(converted_set, tmp_path / "there")
    before = opened(f"local:{remote}", tmp_path).pixels("val", [0])
    shutil.rmtree(remote)
    source = folder(photographs)
    list(converted(source._replace(val=source.train), Conversion(str(remote), chunk=4), S, 0, "stop"))
    again = opened(f"local:{remote}", tmp_path)
    assert again.size("val") == 60
    assert torch.equal(again.pixels("val", range(60)), opened(remote, tmp_path).pixels("val", range(60)))
    assert torch.equal(again.pixels("val", [0]), before) is False


def test_sets_that_cannot_be_used(photographs, converted_set, tmp_path):
    def told(place, image_size=S):
        with pytest.raises(UserError) as caught:
            stream(place, image_size, tmp_path / "cache", 1)
        return str(caught.value)

    assert "needs a set that job=convert has made" in told(None)
    assert "is no folder; name one that job=convert has made" in told(tmp_path / "nowhere")
    assert "is no converted set: it has no set.json; make one by job=convert" in told(photographs)
    assert "is of no known kind; possible: a folder, or s3:// gs://" in told("ftp://host/set")
    assert "set.json cannot be fetched: The provided remote_path doesn't exist" in told(f"local:{tmp_path}/nowhere")
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache/file").touch()
    with pytest.raises(UserError, match=r"data.cache_dir=\S+/file: Not a directory; chunks of local:\S+ are kept"):
        stream(f"local:{converted_set}", S, tmp_path / "cache/file", 1)
    size = told(converted_set, 64)
    assert "stored at 37 x 37 pixels, for data.image_size=32; data.image_size=64 needs 73" in size


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.json", b'{"form', "set.json is damaged"),
        ("set.json", b'{"format": 9}', "is of format 9, this program reads 1"),
        ("train/chunk-0-3.bin", b"short", r"train/chunk-0-3.bin has 5 bytes, needs \d+; copy it there again"),
        ("val/chunk-0-0.bin", None, r"val/chunk-0-0.bin is missing; copy it there again"),
        ("val/labels.npy", b"", "val is damaged: .*; copy it there again"),
        ("val/index.json", None, "val is damaged: .*index.json"),
        ("val/index.json", b'{"chunks": []}', "val is damaged: 0 images, 15 labels; convert the set anew"),
    ],
)
def test_a_damaged_set_names_its_file(name, content, message, converted_set, tmp_path):
    broken = shutil.copytree(converted_set, tmp_path / "broken")
    (broken / name).unlink() if content is None else (broken / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        stream(broken, S, tmp_path, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_within_a_chunk_is_told_in_one_line(workers, converted_set, tmp_path):
    broken = shutil.copytree(converted_set, tmp_path / "broken")
    chunk = broken / "val/chunk-0-1.bin"
    chunk.write_bytes(bytes(chunk.stat().st_size))
    with pytest.raises(UserError, match=r"^/.*val/chunk-0-1.bin is damaged; copy it there again, or convert"):
        list(opened(broken, tmp_path, workers=workers).val_dataloader())


def test_litdata_is_needed_for_far_sets_only(converted_set, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "litdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "litdata", None)
    assert opened(converted_set, tmp_path).size("val") == 15
    with pytest.raises(UserError, match=r"needs litdata: pip install 'convscope\[stream\]'"):
        opened(f"local:{converted_set}", tmp_path)


def test_what_a_set_says_of_itself(converted_set):
    about = json.loads((converted_set / "set.json").read_text())
    assert (about["image_size"], about["stored_size"], about["classes"]) == (S, R, NAMES)
    assert about["train"]["images"] == 60 and not (converted_set / ".unfinished").exists()


def test_a_set_that_version_0_1_has_converted(tmp_path):
    """Made of seven images of 25 x 20 pixels, of which the last channel is 30 times the number; chunks of three."""
    old = stream(Path(__file__).with_name("set_of_0_1"), 14, tmp_path, 1)
    assert old.classes == ["ant", "bee"] and old.train.counts().tolist() == [3, 3, 1]
    for split, numbers in ((old.train, [2, 4, 3, 6, 5, 0, 1]), (old.val, [0, 1, 2])):
        assert [split.name(at) for at in range(len(numbers))] == [f"bild ü{number}.png" for number in numbers]
        assert split.labels.tolist() == [number % 2 for number in numbers]
        blue = np.array([split.image(at)[..., 2].mean() for at in range(len(numbers))])
        assert np.abs(blue - 30 * np.array(numbers)).max() < 2
        assert np.abs(split.statistics.mean[..., 2] - 30 * np.mean(numbers)).max() < 1
    order = WindowSampler(old.train.counts(), 5, Share(), epoch=1)
    assert [index for _, index in order] == [2, 0, 5, 3, 6, 1, 4]
