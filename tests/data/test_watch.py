"""Loading processes that die, and images that go away while they are needed: the image is named."""

import gc
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Source
from convscope.data.watch import Watch, death
from convscope.errors import UserError


class Deadly(type(Path())):
    """A file over which the process that reads it is killed, as one is that runs out of memory."""

    signal = signal.SIGKILL

    def read_bytes(self):
        signal.raise_signal(self.signal)  # in this very thread, as a fault is; os.kill may hit another and return


class Damaging(Deadly):
    signal = signal.SIGSEGV


class Collecting(type(Path())):
    """A file over which the process that reads it collects its garbage."""

    def read_bytes(self):
        gc.collect()
        return super().read_bytes()


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    for number in range(24):
        (tmp_path / f"class{number % 2}").mkdir(exist_ok=True)
        pixels = draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"class{number % 2}/{number}.png")
    return Files([tmp_path / f"class{number % 2}/{number}.png" for number in range(24)], np.arange(24) % 2)


def streamed(files, tmp_path, **changed):
    """Images that do not fit the cache: each is read when it is needed."""
    chosen = {"image_size": 32, "batch_size": 4, "workers": 0, "cache_gib": 0, **changed}
    data = ImageData(Source(["a", "b"], files, files), DataSettings(cache_dir=str(tmp_path / "cache"), **chosen))
    assert isinstance(data.train_dataloader().dataset.split, Files)
    return data


@pytest.mark.parametrize(
    "kind, told",
    [
        (Deadly, "Killed while it read .*class1/9.png; mostly memory has run out"),
        (Damaging, "Segmentation fault while it read .*class1/9.png; type data.workers=0"),
    ],
)
def test_a_process_that_dies_names_its_image(kind, told, files, tmp_path):
    data = streamed(files, tmp_path, workers=2)
    files.paths[9] = kind(files.paths[9])
    with pytest.raises(RuntimeError) as caught:
        list(data.val_dataloader())
    said = str(data.death(caught.value))
    assert "\n" not in said
    with pytest.raises(UserError, match=f"^a process that loads images was ended by the signal {told}"):
        raise data.death(caught.value)


def test_a_loading_process_leaves_the_loaders_of_its_parent_alone(files, tmp_path, capfd):
    data = streamed(files, tmp_path, workers=1)
    other = data.val_dataloader()
    gc.disable()
    try:
        left = [iter(data.train_dataloader())]
        left.append(left)  # only the garbage collector finds it: that of the next process, too
        del left
        files.paths[:] = map(Collecting, files.paths)
        assert len(list(other)) == 6
    finally:
        gc.enable()
    data.close()
    assert multiprocessing.active_children() == [] and "Exception ignored" not in capfd.readouterr().err


class CutOff:
    """The batches of a process that was killed while it handed one over."""

    def __init__(self, batches):
        self._workers = batches._workers

    def __next__(self):
        raise ConnectionResetError(104, "Connection reset by peer")


def test_a_process_killed_while_it_hands_a_batch_over_is_told_too(files, tmp_path):
    data = streamed(files, tmp_path, workers=1)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's would tell of it first, wherever we then are
    try:
        batches = iter(data.val_dataloader())
        next(batches)
        batches.batches = CutOff(batches.batches)
        with pytest.raises(ConnectionResetError):  # with all processes alive it is somebody else's
            next(batches)
        batches = iter(data.val_dataloader())
        next(batches)
        os.kill(batches.batches._workers[0].pid, signal.SIGKILL)
        batches.batches = CutOff(batches.batches)
        with pytest.raises(RuntimeError) as caught:
            next(batches)
        assert "a process that loads images was ended by the signal Killed" in str(data.death(caught.value))
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.slow
def test_a_process_killed_between_two_passes_is_told_with_its_signal(files, tmp_path):
    data = streamed(files, tmp_path, workers=1)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        loader = data.val_dataloader()
        assert len(list(loader)) == 6
        (worker,) = loader._iterator._workers
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        with pytest.raises(RuntimeError) as caught:
            iter(loader)
        assert "a process that loads images was ended by the signal Killed" in str(data.death(caught.value))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_other_errors_are_not_taken_for_a_dead_process():
    assert death(RuntimeError("out of memory"), {}.get) is None and death(ValueError("DataLoader"), {}.get) is None
    told = death(RuntimeError("DataLoader worker (pid(s) 5, 6) exited unexpectedly"), {5: "x.jpg"}.get)
    assert "ended before its work was done while it read x.jpg; type data.workers=0" in str(told)
    told = death(RuntimeError("DataLoader worker (pid 5) is killed by signal: Bus error. It is"), {}.get)
    assert "by the signal Bus error; mostly the shared memory /dev/shm is full" in str(told)


def test_a_process_that_has_read_all_is_at_no_image():
    watch = Watch(2)
    watch.at(3)  # no loading process: not noted
    assert watch.of(os.getpid()) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_class_that_vanishes_is_named(workers, files, tmp_path):
    data = streamed(files, tmp_path, workers=workers)
    loader, other = data.train_dataloader(), data.val_dataloader()
    (tmp_path / "class1").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"^/[^\n]*/class1/\d+.png can no longer be read: its folder class1 is gone$"):
        list(loader)
    assert multiprocessing.active_children() == []  # not five seconds later, when the garbage is collected
    files.paths[0].unlink()
    with pytest.raises(UserError, match=r"^/[^\n]*/class0/0.png can no longer be read: No such file or directory$"):
        list(other)


@pytest.mark.parametrize("gib", [0, 1])
def test_what_is_skipped_and_all_batches_are_the_same_for_any_number_of_processes(gib, files, tmp_path):
    for number in (3, 8, 20):
        files.paths[number].write_bytes(b"torn")
    made = []
    for workers in (0, 1, 3):
        chosen = {"workers": workers, "cache_gib": gib, "cache_dir": str(tmp_path / f"cache{workers}")}
        plan = DataSettings(image_size=32, batch_size=4, on_bad_image="skip", **chosen)
        data = ImageData(Source(["a", "b"], files, files), plan)
        batches = list(data.train_dataloader())
        kept = torch.cat([batch.index for batch in batches]), torch.cat([batch.image for batch in batches])
        made.append((data.bad_images, *kept))
    assert [path.name for path, _ in made[0][0]] == ["3.png", "8.png", "20.png"]
    assert sorted(made[0][1].tolist()) == list(range(21))
    for other in made[1:]:
        assert other[0] == made[0][0] and torch.equal(other[1], made[0][1]) and torch.equal(other[2], made[0][2])


def test_a_class_without_a_readable_image_is_told(files, tmp_path):
    for path in files.paths[1::2]:
        path.write_bytes(b"torn")
    data = streamed(files, tmp_path, on_bad_image="skip")
    assert data.emptied == ["no image of class b in train can be read"] and len(data.bad_images) == 12
    data.size("val")
    assert data.emptied[1:] == ["no image of class b in val can be read"]
