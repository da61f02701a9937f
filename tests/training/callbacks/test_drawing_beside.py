"""Drawing and writing of an epoch beside the training of the next one, as on a GPU."""

import shutil
import threading

import numpy as np
import pytest
import torch

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError
from convscope.models.build import build, he_
from convscope.runs.record import Record
from convscope.training import job
from convscope.training.callbacks.checkpoints import LastCheckpoint, Within
from convscope.training.callbacks.exact_resume import within_epoch
from convscope.training.classifier import Classifier
from convscope.training.recipe import Recipe

LAYERS = {
    "conv1": {"kind": "conv", "maps": 4, "kernel": 3, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
    "conv2": {"kind": "conv", "maps": 4, "kernel": 3},
    "fc3": {"kind": "full", "units": "classes"},
}
RECIPE = Recipe("sgd", 1e-5, 0.9, 0.0, 10, "constant", 0, 0.0, "he", 0.01, [], None)
CHOICE = FeatureConfig(["conv1", "conv2"], 2, None, "val", "deconvnet", 16)


@pytest.fixture(name="beside")
def drawing_beside(monkeypatch):
    monkeypatch.setattr(job, "draws_beside", lambda device: True)


@pytest.fixture(name="cache", scope="module")
def module_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def train(place, cache, epochs, steps=None, loggers=(), **settings):
    """Trains a net of two convolutions through these epochs, or on from the checkpoint in `place`."""
    random = np.random.default_rng(0)
    splits = [Pixels(random.integers(0, 256, (count, 18, 18, 3), np.uint8), np.arange(count) % 2) for count in (40, 20)]
    data = ImageData(Source(["a", "b"], *splits), DataSettings(image_size=16, batch_size=10, cache_dir=str(cache)))
    torch.manual_seed(0)
    net = build(LAYERS, 16, 2)
    he_(net)
    about = {"net": {"name": "small", "layers": LAYERS, "image_size": 16, "classes": 2}}
    settings = {"max_epochs": epochs, "accelerator": "cpu", "devices": 1} | settings
    record = Record(place)
    job.train(
        Classifier(net, RECIPE, 2), data, job.TrainingPlan(settings, CHOICE, 0, about, Within(None, steps)), record,
        begin=lambda: record.begin(loggers),
    )  # fmt: skip
    return record


def written(place):
    """The files of a run that do not hold seconds, by name, and the order of the index."""
    names = sorted(path for kind in ("pictures/top9", "pictures/filters", "pictures/images", "top9", "evolution")
                   for path in (place / kind).rglob("*") if path.is_file())  # fmt: skip
    files = {path.relative_to(place).as_posix(): path.read_bytes() for path in names}
    return files | {"index.jsonl": (place / "index.jsonl").read_bytes()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """A run of two epochs that draws at once."""
    place = tmp_path_factory.mktemp("whole")
    train(place, cache, 2)
    assert len(written(place)) >= 2 * (2 + 1 + 1 + 1) + 1
    return place


@pytest.mark.slow
def test_the_files_are_the_same_byte_for_byte(whole, cache, beside, tmp_path, monkeypatch):
    threads = set()
    write_picture = Record._write_picture

    def noted(record, picture):
        threads.add(threading.current_thread().name)
        return write_picture(record, picture)

    monkeypatch.setattr(Record, "_write_picture", noted)
    train(tmp_path, cache, 2)
    assert written(tmp_path) == written(whole)
    assert "drawing_0" in threads


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_session_draws_what_an_earlier_one_has_not_come_to(whole, cache, beside, tmp_path, epochs):
    """Killed after the checkpoint of epoch 1 and before its pictures; with epochs=1 nothing else is left to do."""
    train(tmp_path, cache, 1)
    complete = written(tmp_path)
    for name in ("top9", "evolution", "pictures"):
        shutil.rmtree(tmp_path / name)
    (tmp_path / "index.jsonl").unlink()
    train(tmp_path, cache, epochs)
    assert written(tmp_path) == (complete if epochs == 1 else written(whole))


class Sent:
    """A logger that writes down what it gets."""

    def __init__(self):
        self.rows, self.pictures = {}, []

    def picture(self, picture, path):
        self.pictures.append((picture.name, picture.epoch))

    def row(self, epoch, values):
        self.rows[epoch] = values


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_row_that_an_earlier_session_has_not_come_to_goes_to_the_loggers(cache, beside, tmp_path, epochs):
    """Killed after the checkpoint of epoch 1 and before its row was written. A row that was written is not sent again.

    The row is that of the session before, with its seconds.
    """
    first, second, third = Sent(), Sent(), Sent()
    train(tmp_path, cache, 1, loggers=[first])
    assert first.pictures.count(("settling", None)) == 1  # the last epoch drew the whole run
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / "evolution/epoch_001.safetensors").unlink()
    train(tmp_path, cache, epochs, loggers=[second])
    assert list(second.rows) == list(range(1, epochs + 1)) and second.rows[1] == first.rows[1]
    assert ("top9/conv1", 1) in second.pictures
    train(tmp_path, cache, epochs, loggers=[third])
    assert not third.rows


@pytest.mark.slow
def test_what_is_there_is_not_drawn_again(whole, cache, beside, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    (path,) = (tmp_path / "run/pictures/top9/conv1").glob("epoch_002.*")
    path.unlink()
    train(tmp_path / "run", cache, 2)
    assert not path.exists()


@pytest.mark.slow
def test_an_error_ends_the_training_and_a_session_after_it_goes_on(whole, cache, beside, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/top9").write_text("in the way")
    with pytest.raises(UserError, match="cannot write .*pictures/top9/conv1"):
        train(tmp_path, cache, 30)
    assert len((tmp_path / "checkpoints/last.ckpt").read_bytes()) and not (tmp_path / "index.jsonl").exists()
    epoch = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["convscope"]["epoch"]
    assert epoch <= 2
    (tmp_path / "pictures/top9").unlink()
    if epoch == 1:
        train(tmp_path, cache, 2)
        assert written(tmp_path) == written(whole)


@pytest.mark.slow
def test_a_checkpoint_within_an_epoch_waits_for_the_pictures_of_the_epoch_before(cache, beside, tmp_path, monkeypatch):
    complete = list[tuple[bool, bool]]()
    save = LastCheckpoint._save

    def noted(callback, trainer):
        save(callback, trainer)
        shown = trainer.current_epoch if within_epoch(trainer) else trainer.current_epoch + 1
        complete.append((within_epoch(trainer), (tmp_path / f"evolution/epoch_{shown:03d}.safetensors").is_file()))

    write_picture = Record._write_picture

    def slowly(record, picture):
        threading.Event().wait(0.1)
        return write_picture(record, picture)

    monkeypatch.setattr(LastCheckpoint, "_save", noted)
    monkeypatch.setattr(Record, "_write_picture", slowly)
    train(tmp_path, cache, 2, steps=1)
    within_second = [there for within, there in complete[len(complete) // 2 :] if within]
    assert len(within_second) >= 3 and all(within_second)
    assert [there for within, there in complete if not within] == [False, False]  # the end of an epoch does not wait
