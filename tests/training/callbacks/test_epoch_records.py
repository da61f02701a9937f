"""The seconds of summary.json, of all sessions of a run; rows of epochs in checkpoints."""

import json
from types import SimpleNamespace

import pytest
import torch

from cli.test_resume import TINY, composed
from convscope.cli import recording
from convscope.cli.jobs import JOBS
from convscope.metrics.goals import GOALS
from convscope.report.header import run_seconds
from convscope.runs.reading import read_run
from convscope.runs.record import Record
from convscope.training.callbacks.epoch_records import EpochRows, RowPerEpoch

SLOW = 600  # seconds that the second session of a test may take on a busy machine; earlier ones are told larger


def seconds(folder):
    return json.loads((folder / "summary.json").read_text())["seconds"]


@pytest.fixture(scope="module")
def words(cache):
    drawn = ["evolution.maps=1", "evolution.layers=[conv1]", "evolution.measures=[]"]
    return [*TINY, *drawn, "optim=paper", "optim.batch_size=20", f"data.cache_dir={cache}"]


def later(words, folder, change):
    """A run of one epoch whose checkpoint says something else of its time, and its second epoch."""
    JOBS["train"](composed([*words, "trainer.max_epochs=1"]), folder)
    path = folder / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint["callbacks"])
    torch.save(checkpoint, path)
    JOBS["train"](composed([*words, "trainer.max_epochs=2"]), folder)


def test_a_run_that_goes_on_counts_its_earlier_sessions(words, tmp_path):
    def change(states):
        before = states["Sessions"]["seconds"]
        assert 0 < before["preparation"] < before["whole"] < SLOW
        states["Sessions"]["seconds"] = {"whole": 50_000.0, "preparation": 10_000.0}
        states["FeatureEvolution"]["seconds"] = 5_000.0

    later([*words, "evolution.layers=[conv1]"], tmp_path / "run", change)
    spans = seconds(tmp_path / "run")
    assert set(spans) == {"preparation", "looking", "train"}
    assert 10_000 < spans["preparation"] < 10_000 + SLOW and 5_000 < spans["looking"] < 5_000 + SLOW
    assert 50_000 < sum(spans.values()) < 50_000 + SLOW and spans["train"] > 35_000 - SLOW
    assert run_seconds(read_run(tmp_path / "run")) == sum(spans.values())  # what the page calls time
    third = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["callbacks"]["Sessions"]["seconds"]
    assert 50_000 < third["whole"] <= sum(spans.values()) + 0.1 and third["preparation"] > 10_000


def test_a_run_of_0_1_that_goes_on_counts_its_earlier_epochs(words, tmp_path):
    def change(states):
        del states["Sessions"], states["FeatureEvolution"]["seconds"]
        (row,) = [json.loads(line) for line in states["RowPerEpoch"]["rows"].splitlines()]
        states["RowPerEpoch"] = {"rows": json.dumps({**row, "seconds": 7_000.0}), "spent": 9_000.0}

    later([*words, "evolution=off"], tmp_path / "run", change)
    assert 7_000 < sum(seconds(tmp_path / "run").values()) < 7_000 + SLOW


def test_what_a_job_did_before_it_had_anything_to_record_is_its_own_time(words, tmp_path, monkeypatch):
    from convscope.analyses.check_data import job

    clock, survey = SimpleNamespace(now=100.0), job.survey

    def slow(*arguments):
        clock.now += 25
        return survey(*arguments)

    monkeypatch.setattr(job, "survey", slow)
    timer = SimpleNamespace(perf_counter=lambda: clock.now, strftime=recording.time.strftime)
    monkeypatch.setattr(recording, "time", timer)
    JOBS["check_data"](composed([*words, "job=check_data"]), tmp_path / "run")
    assert seconds(tmp_path / "run") == {"check_data": 25}


def test_a_checkpoint_writes_each_row_once_and_reads_them_back_bit_by_bit(tmp_path):
    rows = EpochRows()
    for epoch in range(5):
        rows.append({"epoch": epoch, "loss": 1 / (epoch + 3), "worst": float("inf")})
        again = EpochRows.read(rows.text())
        assert again == rows and again.text() == rows.text()
    assert EpochRows.read(list(rows)) == rows  # as in checkpoints of before
    callback = RowPerEpoch(Record(tmp_path), GOALS["softmax"])
    callback.load_state_dict({"rows": list(rows), "spent": 0.0})
    assert EpochRows.read(callback.state_dict()["rows"]) == rows
