"""The cache of decoded images: same pixels, found again, never half-written, within its budget."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.cache import Cache, decoded_once
from convscope.data.decode import decoded
from convscope.data.sources import Files, Pixels
from convscope.errors import UserError

SRC = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def photos(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for number in range(9):
        paths.append(tmp_path / f"{number}.jpg")
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(paths[-1])
    return Files(paths, np.arange(9) % 3)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 1.0)


def entries(cache):
    return sorted(path.name for path in cache.folder.iterdir() if path.suffix != ".lock")


def test_pixels_mean_and_spread(photos, cache):
    stored = decoded_once(photos, 16, cache, True, "stop")
    expected = np.stack([decoded(path, 16) for path in photos.paths])
    assert isinstance(stored.split.images, np.memmap) and np.array_equal(stored.split.images, expected)
    assert stored.split.labels.tolist() == photos.labels.tolist()
    assert np.allclose(stored.statistics.mean, expected.mean(0), atol=1e-4)
    assert np.isclose(stored.statistics.std, (expected - expected.mean(0)).std(), rtol=1e-4)


def test_an_entry_is_found_again_and_only_for_the_same_images(photos, cache):
    decoded_once(photos, 16, cache, True, "stop")
    written = (next(cache.folder.glob("images-*/images.u8"))).stat().st_mtime_ns
    decoded_once(photos, 16, cache, True, "stop")
    assert len(entries(cache)) == 1 and next(cache.folder.glob("images-*/images.u8")).stat().st_mtime_ns == written
    decoded_once(photos, 17, cache, True, "stop")
    os.utime(photos.paths[0], (1, 1))
    decoded_once(photos, 16, cache, True, "stop")
    decoded_once(Files(photos.paths[1:], photos.labels[1:]), 16, cache, True, "stop")
    assert len(entries(cache)) == 4


def test_streaming_keeps_the_files_and_the_mean(photos, cache):
    stored = decoded_once(photos, 16, cache, False, "stop")
    kept = decoded_once(photos, 16, cache, True, "stop")
    assert stored.split == photos and np.array_equal(stored.statistics.mean, kept.statistics.mean)
    assert sum(path.stat().st_size for path in cache.folder.glob("*-stream/*")) < 10_000


@pytest.mark.parametrize("keep", [True, False])
def test_unreadable_images(photos, cache, keep):
    photos.paths[4].write_bytes(b"no image")
    with pytest.raises(UserError, match=r"4.jpg cannot be read: it is no image.*type data.on_bad_image=skip"):
        decoded_once(photos, 16, cache, keep, "stop")
    assert entries(cache) == []
    stored = decoded_once(photos, 16, cache, keep, "skip")
    assert len(stored.split.labels) == 8 and stored.split.labels.tolist() == np.delete(photos.labels, 4).tolist()
    assert [path for path, _ in stored.bad] == [photos.paths[4]] and "no image" in stored.bad[0][1]
    with pytest.raises(UserError, match="4.jpg cannot be read"):
        decoded_once(photos, 16, cache, keep, "stop")  # also from the cache
    for path in photos.paths:
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="none of 9 images can be read; the first: .*0.jpg"):
        decoded_once(photos, 16, cache, keep, "skip")


def test_a_link_to_nowhere_is_an_unreadable_image(photos, cache):
    photos.paths[2].unlink()
    photos.paths[2].symlink_to("/nowhere.jpg")
    assert decoded_once(photos, 16, cache, True, "skip").bad[0][0] == photos.paths[2]


def test_pixels_are_enlarged_once_or_taken_as_they_are(cache):
    small = Pixels(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8), np.arange(5))
    assert decoded_once(small, 8, cache, True, "stop").split is small
    assert not cache.folder.exists()
    enlarged = decoded_once(small, 32, cache, True, "stop").split.images
    for image, original in zip(enlarged, small.images, strict=True):
        expected = np.array(Image.fromarray(original).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(image - expected).max() <= 1
    assert decoded_once(small, 32, cache, False, "stop").split is small


def test_budget(photos, tmp_path):
    one = 9 * 16 * 16 * 3  # bytes of an entry
    cache = Cache(tmp_path / "cache", 2.5 * one / 2**30)
    assert cache.fits((photos, photos), 16) and not cache.fits((photos, photos, photos), 16)
    for number, size in enumerate((16, 15, 14)):
        decoded_once(photos, size, cache, True, "stop")
        entry = max(cache.folder.glob("images-*/images.u8"), key=lambda path: path.stat().st_mtime_ns).parent
        os.utime(entry, (number, number))
    sizes = {path.stat().st_size for path in cache.folder.glob("images-*/images.u8")}
    assert sizes == {9 * 15 * 15 * 3, 9 * 14 * 14 * 3}  # the one not used for longest had to go


def test_a_folder_that_cannot_be_written(photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data.cache_dir=.*file/cache: Not a directory; name another folder"):
        decoded_once(photos, 16, Cache(tmp_path / "file/cache", 1.0), True, "stop")


def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path, cache):
    photo = tmp_path / "0.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(photo)
    program = (
        "import sys, numpy as np; from pathlib import Path; from convscope.data.cache import Cache, decoded_once\n"
        "from convscope.data.sources import Files\n"
        f"photos = Files([Path({str(photo)!r})] * 30_000, np.zeros(30_000, int))\n"
        f"decoded_once(photos, 64, Cache(Path({str(cache.folder)!r}), 1.0), True, 'stop')\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(SRC)})
    part, patience = [], time.time() + 60
    while not (part and part[0].stat().st_size) and time.time() < patience:
        part = list(cache.folder.glob("images-*.part/images.u8"))
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL and part
    assert all(name.endswith(".part") for name in entries(cache))
    again = Files([photo] * 40, np.zeros(40, int))
    assert decoded_once(again, 64, cache, True, "stop").split.images.shape == (40, 64, 64, 3)
    assert not list(cache.folder.glob("*.part"))  # the next run cleans up, and no lock holds it up
