"""Loading processes that die, and images that go away while they are needed: the image is named."""

import gc
import multiprocessing
import os
import re
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data._utils import signal_handling

from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Source
from convscope.data.workers import CurrentImages, Loader
from convscope.errors import UserError
from data.short_training import Small, fit


class Deadly(type(Path())):
    """A file over which the process that reads it is killed, as one is that runs out of memory."""

    signal = signal.SIGKILL

    def read_bytes(self):
        signal.raise_signal(self.signal)  # in this very thread, as a fault is; os.kill may hit another and return


class Damaging(Deadly):
    signal = signal.SIGSEGV


class Cramped(Deadly):
    signal = signal.SIGBUS


class Collecting(type(Path())):
    """A file over which the process that reads it collects its garbage."""

    def read_bytes(self):
        sys.unraisablehook = sys.__unraisablehook__  # pytest's prints nothing
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
    settings = {"image_size": 32, "batch_size": 4, "workers": 0, "cache_gib": 0, **changed}
    data = ImageData(Source(["a", "b"], files, files), DataSettings(cache_dir=str(tmp_path / "cache"), **settings))
    assert isinstance(data.train_dataloader().dataset.split, Files)
    return data


class Exiting(type(Path())):
    """A file over which the process that reads it ends itself."""

    def read_bytes(self):
        os._exit(3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Deadly, "was ended by the signal Killed while it read .*class1/9.png; mostly memory has run out"),
        (Damaging, "was ended by the signal Segmentation fault while it read .*class1/9.png; type data.workers=0"),
        (Cramped, "was ended by the signal Bus error while it read .*; mostly the shared memory /dev/shm is full"),
        (
            Exiting,
            "ended before its work was done while it read .*9.png; type data.workers=0 to see its error, or remo",
        ),
    ],
)
def test_a_process_that_dies_names_its_image(kind, message, files, tmp_path):
    data = streamed(files, tmp_path, workers=2)
    files.paths[9] = kind(files.paths[9])
    with pytest.raises(UserError, match=f"^a process that loads images {message}") as caught:
        list(data.val_dataloader())
    assert "\n" not in str(caught.value) and multiprocessing.active_children() == []


@pytest.mark.parametrize("start_method", ["fork"], indirect=True)
def test_a_death_that_torch_reports_elsewhere_names_its_image(files, tmp_path, monkeypatch, start_method):
    """torch's handler of SIGCHLD raises wherever the main process is: here outside of the pass.

    It hears of its own children only, not of those of a forkserver.
    """
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)  # Lightning removes it after a training
    data = streamed(files, tmp_path, workers=1)
    files.paths[9] = Deadly(files.paths[9])  # asked for when the first batch has come
    batches = iter(data.val_dataloader())
    with pytest.raises(RuntimeError, match="DataLoader worker") as caught:
        next(batches)
        time.sleep(20)
    assert re.search("the signal Killed while it read .*class1/9.png", str(data.death(caught.value)))
    assert data.death(RuntimeError("out of memory")) is None
    data.close()
    assert multiprocessing.active_children() == []


def test_a_loading_process_leaves_the_loaders_of_its_parent_alone(files, tmp_path, capfd):
    data = streamed(files, tmp_path, workers=1)
    loader = data.val_dataloader()
    gc.disable()
    try:
        cycle = [iter(data.train_dataloader())]
        next(cycle[0])
        cycle.append(cycle)  # only the garbage collector finds it: that of the next process, too
        del cycle
        files.paths[:] = map(Collecting, files.paths)
        assert len(list(loader)) == 6
    finally:
        gc.enable()
    data.close()
    assert multiprocessing.active_children() == [] and "Exception ignored" not in capfd.readouterr().err


class CutOff:
    """A batch whose process ends, if `fatal`, while the main process unpacks it."""

    def __init__(self, fatal):
        self.fatal = fatal

    def __reduce__(self):
        return lose_connection, (os.getpid(), self.fatal)


def cut_off(fatal, _):
    return CutOff(fatal)


def lose_connection(pid, fatal):
    if fatal:
        os.kill(pid, signal.SIGKILL)
    raise ConnectionResetError(104, "Connection reset by peer")


class Numbers(list):
    """The smallest data set that a Loader takes."""

    current = None

    def image_name(self, position):
        return str(position)


@pytest.fixture
def no_sigchld():
    """torch's handler of SIGCHLD would report a death first; Lightning removes it after a training."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("fatal", [True, False])
def test_a_process_killed_while_it_hands_a_batch_over_is_named(fatal, no_sigchld):
    loader = Loader(Numbers([0, 1]), num_workers=1, collate_fn=partial(cut_off, fatal))
    expected = (UserError, "was ended by the signal Killed") if fatal else (ConnectionResetError, "reset by peer")
    with pytest.raises(expected[0], match=expected[1]):
        list(loader)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_killed_between_two_passes_is_named_with_its_signal(files, tmp_path, no_sigchld):
    data = streamed(files, tmp_path, workers=1)
    loader = data.val_dataloader()
    assert len(list(loader)) == 6
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with pytest.raises(UserError, match="a process that loads images was ended by the signal Killed; "):
        next(iter(loader))
    assert len(list(loader)) == 6  # by a new process


def test_a_pass_that_is_broken_off_leaves_its_processes_to_the_next(files, tmp_path):
    loader = streamed(files, tmp_path, workers=2).val_dataloader()
    for _ in loader:
        workers = multiprocessing.active_children()
        break
    assert len(list(loader)) == 6 and set(multiprocessing.active_children()) == set(workers) and len(workers) == 2


def test_the_main_process_is_at_no_image():
    current = CurrentImages(2)
    current.note(3)
    assert current.of(os.getpid()) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_class_that_vanishes_is_named(workers, files, tmp_path):
    data = streamed(files, tmp_path, workers=workers)
    loader, val_loader = data.train_dataloader(), data.val_dataloader()
    (tmp_path / "class1").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"^/[^\n]*/class1/\d+.png can no longer be read: its folder class1 is gone$"):
        list(loader)
    assert multiprocessing.active_children() == []  # not five seconds later, when the garbage is collected
    files.paths[0].unlink()
    with pytest.raises(UserError, match=r"^/[^\n]*/class0/0.png can no longer be read: No such file or directory$"):
        list(val_loader)


@pytest.mark.parametrize("gib", [0, 1])
def test_what_is_skipped_and_all_batches_are_the_same_for_any_number_of_processes(gib, files, tmp_path):
    for number in (3, 8, 20):
        files.paths[number].write_bytes(b"torn")
    passes = []
    for workers in (0, 1, 3):
        changed = {"workers": workers, "cache_gib": gib, "cache_dir": str(tmp_path / f"cache{workers}")}
        settings = DataSettings(image_size=32, batch_size=4, on_bad_image="skip", **changed)
        data = ImageData(Source(["a", "b"], files, files), settings)
        batches = list(data.train_dataloader())
        tensors = torch.cat([batch.index for batch in batches]), torch.cat([batch.image for batch in batches])
        passes.append((data.bad_images, *tensors))
    (bad, index, image), *others = passes
    assert [path.name for path, _ in bad] == ["3.png", "8.png", "20.png"]
    assert sorted(index.tolist()) == list(range(21))
    for other_bad, other_index, other_image in others:
        assert other_bad == bad and torch.equal(other_index, index) and torch.equal(other_image, image)


def test_a_class_without_a_readable_image_is_named(files, tmp_path):
    for path in files.paths[1::2]:
        path.write_bytes(b"torn")
    data = streamed(files, tmp_path, on_bad_image="skip")
    assert data.emptied == ["no image of class b in train can be read"] and len(data.bad_images) == 12
    data.size("val")
    assert data.emptied[1:] == ["no image of class b in val can be read"]


class DeadlyLater(Deadly):
    def read_bytes(self):
        return super().read_bytes() if self.with_suffix(".fatal").exists() else Path(self).read_bytes()


class Marking(Small):
    """Makes a file deadly after the first epoch."""

    def __init__(self, path):
        super().__init__(32, classes=2)
        self.path, self.after_one_epoch = path, {}

    def on_train_epoch_end(self):
        self.after_one_epoch = {key: value.clone() for key, value in self.state_dict().items()}
        self.path.with_suffix(".fatal").touch()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start_method", ["spawn", "forkserver"], indirect=True)
def test_processes_that_are_not_forked_train_alike_and_are_named_when_they_die(files, tmp_path, start_method):
    reference = fit(Small(32, classes=2), streamed(files, tmp_path), tmp_path / "a", max_epochs=1, limit_val_batches=0)
    model, data = Marking(files.paths[9]), streamed(files, tmp_path, workers=1)
    files.paths[9] = DeadlyLater(files.paths[9])
    with pytest.raises((UserError, RuntimeError)) as caught:
        fit(model, data, tmp_path / "b", max_epochs=2, limit_val_batches=0)
    error = caught.value
    assert re.search("the signal Killed while it read .*class1/9.png; mostly", str(data.death(error) or error))
    assert model.fed[:6] == reference.fed and 6 <= len(model.fed) < 12
    assert all(value.equal(model.after_one_epoch[key]) for key, value in reference.state_dict().items())
    data.close()
    assert multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["forkserver"], indirect=True)
def test_a_process_of_another_parent_ends_while_its_pass_is_unfinished(files, tmp_path, start_method):
    data = streamed(files, tmp_path, workers=1)
    unfinished = iter(data.val_dataloader())
    assert len(next(unfinished).label) == 4
    data.close()
    assert multiprocessing.active_children() == []
