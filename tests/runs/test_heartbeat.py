"""The status of a run folder: its words, its end, and its reader, which trusts nothing."""

import json
import time

import pytest

from convscope.cli.recording import finish_with_summary
from convscope.runs import heartbeat
from convscope.runs.heartbeat import PREFIX, STATUS, Heartbeat, RunStatus, read_status
from convscope.runs.reading import read_run
from convscope.runs.record import Record
from convscope.runs.training_runs import read_training_run

FACTS = {"job": "train", "name": "a", "seed": 0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved: clock[0] in seconds."""
    now = [1000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def started():
    """A function that starts the heartbeat of a folder. All are ended with the test: they would go on writing."""
    hearts = []

    def start(folder, epochs):
        hearts.append(Heartbeat(folder))
        hearts[-1].start(epochs)
        return hearts[-1]

    yield start
    for heart in hearts:
        heart.end({})


def test_the_words_say_epoch_and_time_left(tmp_path, clock, started):
    heart = started(tmp_path, 20)
    assert read_status(tmp_path).words == "running, epoch 1 of 20"
    for epoch in range(1, 7):
        clock[0] += 13
        heart.epoch(epoch)
    status = read_status(tmp_path)
    assert (status.words, status.epoch, status.epochs) == ("running, epoch 7 of 20, about 3 minutes left", 6, 20)
    assert status.seconds_per_epoch == 13
    clock[0] += 1000  # an epoch that takes longer than those before: no time below zero
    heart.write()
    assert read_status(tmp_path).words == "running, epoch 7 of 20, about 3 minutes left"
    heart.end({"finished": True})
    assert read_status(tmp_path)[:2] == ("finished", "finished after epoch 6")


def test_a_long_first_epoch_is_estimated_by_its_steps(tmp_path, clock, started):
    heart = started(tmp_path, 2)
    heart.progress(0.5)
    clock[0] += 3600
    heart.write()
    assert read_status(tmp_path).words == "running, epoch 1 of 2, about 3 hours left"


def test_a_run_without_a_number_of_epochs_and_one_that_goes_on(tmp_path, clock, started):
    heart = started(tmp_path / "a", -1)
    heart.epoch(1)
    assert read_status(tmp_path / "a").words == "running, epoch 2"
    again = started(tmp_path / "b", 5)
    again.resume(3)
    assert read_status(tmp_path / "b").words == "running, epoch 4 of 5"
    again.epoch(4), again.epoch(5)
    assert read_status(tmp_path / "b").words == "running, the last pictures are drawn"


def test_signs_of_life_come_by_themselves_until_the_end(tmp_path, monkeypatch, started):
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    heart = started(tmp_path, 2)
    first = read_status(tmp_path).beat
    while read_status(tmp_path).beat == first:  # to a tenth of a second
        time.sleep(0.01)
    heart.end({"finished": False})
    last = (tmp_path / STATUS).read_text()
    heart.write()
    time.sleep(0.05)
    assert (tmp_path / STATUS).read_text() == last


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "finished"), (SystemExit(143), "stopped"), (ValueError("the loss is nan"), "stopped")],
)
def test_the_end_of_a_run_is_recorded_at_once(tmp_path, error, state):
    record = Record(tmp_path)
    record.heartbeat.start(4)
    try:
        with finish_with_summary(record, FACTS):
            if error:
                raise error
    except (SystemExit, ValueError):
        pass
    assert read_status(tmp_path).state == state


def test_nothing_is_written_before_the_start_or_into_a_folder_that_is_gone(tmp_path, started):
    heart = Heartbeat(tmp_path / "file" / "run")
    heart.epoch(1), heart.end({"finished": True})
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("no folder")
    heart.start(2), heart.epoch(1), heart.end({"finished": True})
    heart = started(tmp_path / "run", 2)
    assert read_status(tmp_path / "run").epochs == 2
    (tmp_path / "run").rename(tmp_path / "moved")
    heart.epoch(1), heart.end({"finished": True})
    assert {path.name for path in tmp_path.iterdir()} == {"file", "moved"}


@pytest.mark.parametrize(
    "text",
    ["", "window.STATUS = [];", "window.STATUS = {", '{"state": 1}', '{"state": "a", "words": "b", "beat": "now"}',
     '{"state": "a", "words": "b", "beat": NaN}', '{"state": "a", "words": "b", "epoch": true}', "\xff"],
)  # fmt: skip
def test_a_damaged_status_is_none(tmp_path, text):
    (tmp_path / "report").mkdir()
    (tmp_path / STATUS).write_bytes(text.encode("latin-1"))
    assert read_status(tmp_path) is None


@pytest.mark.parametrize(
    ("age", "state"), [(0, "running: epoch 1"), (3600, "stopped: epoch 1, no sign of life for 1 h")]
)
def test_a_killed_run_is_told_from_one_that_trains(tmp_path, age, state):
    """By its last sign of life: its other files may be as old in an epoch of an hour."""
    (tmp_path / "metrics.csv").write_text("epoch,val/top1,seconds\n1,0.5,7200\n")
    (tmp_path / "about.json").write_text(json.dumps(FACTS))
    (tmp_path / "report").mkdir()
    status = RunStatus("running", "", 1, 4, beat=time.time() - age)
    (tmp_path / STATUS).write_text(f"{PREFIX}{json.dumps(status._asdict())};\n")
    assert read_training_run(read_run(tmp_path)).state.startswith(state)
