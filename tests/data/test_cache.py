"""The cache of decoded images: same pixels, found again, never half-written, within its budget."""

import builtins
import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.cache import Cache, decoded_once
from convscope.data.decode import Unreadable, decoded
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


def mended(photos, how, tmp_path):
    """Makes image 4 unreadable in a way that its bytes are not to blame for; returns what mends it."""
    path, whole = photos.paths[4], photos.paths[4].read_bytes()
    status = path.stat()
    if how == "permission":
        path.chmod(0)
        return lambda: path.chmod(0o644)
    if how == "a link":
        path.unlink()
        path.symlink_to(tmp_path / "away.jpg")
        return lambda: (tmp_path / "away.jpg").write_bytes(whole)
    if how == "other bytes of the same size and time":
        path.write_bytes(b"x" * len(whole))
    else:
        path.unlink()
        path.mkdir()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def mend():
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(whole)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return mend


WAYS = ["permission", "a link", "other bytes of the same size and time", "a folder"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("starts", [1, 2])
def test_a_mended_image_is_read_at_the_next_start(photos, cache, tmp_path, how, keep, starts):
    whole = decoded_once(photos, 16, Cache(tmp_path / "other", 1.0), True, "stop")
    mend = mended(photos, how, tmp_path)
    with someone_else(tmp_path):
        for _ in range(starts):
            left_out = decoded_once(photos, 16, cache, keep, "skip")
            assert [bad.path for bad in left_out.bad] == [photos.paths[4]] and len(left_out.split.labels) == 8
        if how == "permission":
            assert left_out.bad[0].reason == "Permission denied"
    mend()
    for on_bad in ("stop", "skip"):
        again = decoded_once(photos, 16, cache, keep, on_bad)
        assert again.bad == [] and again.split.labels.tolist() == photos.labels.tolist()
        assert np.array_equal(again.statistics.mean, whole.statistics.mean) and not again.remark
        assert again.statistics.std == whole.statistics.std
        if keep:
            assert np.array_equal(again.split.images, whole.split.images)


@contextmanager
def someone_else(*places):
    """As a user without rights, who may write to these folders: root may read everything."""
    if os.geteuid():
        yield
        return
    for place in places:
        for above in (place, *place.parents):
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o777)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_reasons_in_the_bytes_are_remembered_until_the_decoders_change(photos, cache, monkeypatch):
    """Remembered: the damaged file is not opened again."""
    for number in (2, 5):
        photos.paths[number].write_bytes(b"no image")
    decoded_once(photos, 16, cache, True, "skip")
    opened = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (opened.append(path), read(path))[1])
    decoded_once(photos, 16, cache, True, "skip")
    assert opened == []
    monkeypatch.setattr("convscope.data.cache.decoder_versions", lambda: "a newer one")
    for _ in range(2):
        assert len(decoded_once(photos, 16, cache, True, "skip").bad) == 2
        assert opened == [photos.paths[2], photos.paths[5]]  # once more, and then not again


def test_entries_of_0_1_that_remember_reasons_of_the_machine_are_healed(photos, cache):
    whole = decoded_once(photos, 16, cache, True, "stop").split.images.copy()
    entry = next(cache.folder.glob("images-*/"))
    (entry / "images.u8").write_bytes(np.delete(whole, [1, 6], axis=0).tobytes())
    facts = json.loads((entry / "facts.json").read_text())
    bad = [[1, "Permission denied"], [6, "Stale file handle"]]
    (entry / "facts.json").write_text(json.dumps({"std": facts["std"], "bad": bad}))
    again = decoded_once(photos, 16, cache, True, "stop")
    assert again.bad == [] and np.array_equal(again.split.images, whole)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_what_the_machine_refuses_is_no_lasting_reason(photos, monkeypatch, number):
    def refuse(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Unreadable) as caught:
        decoded(photos.paths[0], 16)
    assert str(caught.value) == os.strerror(number) and not caught.value.is_lasting


@pytest.mark.parametrize("problem", [MemoryError(), ImportError("no such decoder"), OSError(errno.EMFILE, "too many")])
def test_what_the_machine_refuses_while_decoding_is_no_lasting_reason(photos, monkeypatch, problem):
    def refuse(*_, **__):
        raise problem

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(Unreadable) as caught:
        decoded(photos.paths[0], 16)
    assert not caught.value.is_lasting


def damaged(folder, what):
    entry = next(folder.glob("images-*/"))
    if what == "facts":
        (entry / "facts.json").write_text('{"std": 1')
    elif what == "mean":
        (entry / "mean.npy").write_bytes(b"")
    elif what == "pixels":
        (entry / "images.u8").write_bytes(b"short")
    else:
        (entry / what).unlink()


@pytest.mark.parametrize("what", ["facts", "mean", "pixels", "facts.json", "mean.npy", "images.u8"])
def test_a_damaged_entry_is_built_again(photos, cache, what):
    whole = decoded_once(photos, 16, cache, True, "stop").split.images.copy()
    damaged(cache.folder, what)
    again = decoded_once(photos, 16, cache, True, "stop")
    assert np.array_equal(again.split.images, whole) and not again.remark


def closed_cache(what, tmp_path):
    """A folder that cannot hold a cache."""
    folder = tmp_path / "closed"
    if what == "a file":
        folder.touch()
        return folder / "cache"
    folder.mkdir(mode=0o500 if what == "read-only" else 0)
    return folder if what == "read-only" else folder / "cache"


@pytest.mark.parametrize("what", ["a file", "read-only", "closed"])
def test_a_cache_that_cannot_be_used_stops_nothing(photos, cache, tmp_path, what):
    whole = decoded_once(photos, 16, cache, True, "stop")
    photos.paths[3].write_bytes(b"no image")
    place = Cache(closed_cache(what, tmp_path), 1.0)
    with someone_else(tmp_path):
        assert place.fits((photos,), 16) in (True, False)
        stored = decoded_once(photos, 16, place, True, "skip")
        assert stored.remark.startswith(f"data.cache_dir={place.folder}: ") and "name another folder" in stored.remark
        assert stored.split.paths == [path for path in photos.paths if path != photos.paths[3]]
        assert [bad.path for bad in stored.bad] == [photos.paths[3]]
        with pytest.raises(UserError, match="3.jpg cannot be read"):
            decoded_once(photos, 16, place, True, "stop")
    expected = np.delete(whole.split.images, 3, axis=0).mean(0)
    assert np.allclose(stored.statistics.mean, expected, atol=1e-3)


def test_a_cache_that_is_only_to_be_read_is_read(photos, cache, tmp_path):
    whole = decoded_once(photos, 16, cache, True, "stop")
    for path in cache.folder.glob("*.lock"):
        path.unlink()
    cache.folder.chmod(0o555)
    with someone_else(tmp_path):
        stored = decoded_once(photos, 16, cache, True, "stop")
    assert not stored.remark and np.array_equal(stored.split.images, whole.split.images)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_disk_that_fills_up_stops_nothing(photos, cache, monkeypatch):
    def full(path, *modes, **options):
        return builtins.open("/dev/full" if str(path).endswith("images.u8") else path, *modes, **options)

    monkeypatch.setattr("convscope.data.cache.open", full, raising=False)
    stored = decoded_once(photos, 16, cache, True, "stop")
    assert "No space left on device" in stored.remark and stored.split == photos and entries(cache) == []


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
