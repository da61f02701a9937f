"""Files whole or absent, on disks that are full, read-only or somebody else's: real ones, mounted for the test."""

import json
import os
import shutil
import signal
import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

from conftest import ROOT, convscope
from convscope.data.cache import Cache, decoded_once
from convscope.data.critters.source import critters
from convscope.runs.atomic_io import CannotWrite, DiskFull, append, remove_partial_files, write
from convscope.runs.record import Arrays, Number, Picture, Record, Table
from convscope.training.callbacks.checkpoints import AtomicCheckpointIO

TINY = ["data.train=40", "data.val=20", "data.image_size=64", "model.width=0.05", "optim.batch_size=20",
        "trainer.accelerator=cpu", "data.workers=0", "evolution.maps=2", "evolution.layers=[conv1]"]  # fmt: skip


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a disk of so many MiB and returns its folder; again: of another size, or read-only."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options):
        again = ["-o", f"remount,{options}"] if os.path.ismount(place) else ["-o", options]
        command = ["mount", "-t", "tmpfs", *again, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no disk can be mounted here (needs root and CAP_SYS_ADMIN)")
        return place

    yield mounted
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_every_writer_reports_a_full_disk_and_leaves_only_the_old_file(disk):
    place = disk("size=1m")
    noise = torch.arange(600_000.0)
    writers = {
        "a.txt": lambda path: write(path, b"x" * 2_000_000),
        "last.ckpt": lambda path: AtomicCheckpointIO().save_checkpoint({"w": noise}, path),
        "b.txt": lambda path: write(path, "x" * 2_000_000, force=True),
    }
    for name, writer in writers.items():
        write(place / name, "old")
        with pytest.raises(
            DiskFull, match=rf"{name} does not fit into the 1\.\d MB left for {place}; make room, .*resume="
        ):
            writer(place / name)
        assert (place / name).read_text() == "old"
    with pytest.raises(DiskFull, match="epoch_001.safetensors"):
        Record(place).add(Arrays("top9", {"score": noise}, 1))
    assert sorted(path.name for path in place.rglob("*") if path.is_file()) == sorted(writers)


def test_every_kind_of_result_reports_a_full_disk_and_leaves_no_file(disk):
    """Pillow, matplotlib and csv raise errors of their own."""
    place = disk("size=256k")
    noise = Image.effect_noise((1000, 1000), 100).convert("RGB")
    figure = matplotlib.figure.Figure()
    figure.figimage(np.random.default_rng(0).random((480, 640)))
    record = Record(place)
    results = {
        "photo.jpg": Picture("photo", noise),
        "epoch_002.png": Picture("plot", noise, epoch=2, plot=True),
        "figure.png": Picture("figure", figure),
        "rows.csv": Table("rows", [{"text": "x" * 1000}] * 1000),
    }
    for name, result in results.items():
        with pytest.raises(DiskFull, match=rf"{name} does not fit into the 0\.[23] MB left for {place}"):
            record.add(result)
    assert not [path for path in place.rglob("*") if path.is_file()]


def test_an_error_of_the_system_names_the_file(tmp_path):
    (tmp_path / "top9").write_text("in the way")
    with pytest.raises(CannotWrite, match=r"cannot write .*/top9/a.txt: (File exists|Not a directory) \(.*/top9\)"):
        write(tmp_path / "top9/a.txt", "x")
    (tmp_path / "index.jsonl").mkdir()
    with pytest.raises(CannotWrite, match=rf"cannot write {tmp_path}/index.jsonl: Is a directory$"):
        append(tmp_path / "index.jsonl", "{}")


def test_a_line_that_does_not_fit_leaves_the_lines_before_it(disk):
    place = disk("size=64k")
    with pytest.raises(DiskFull, match="index.jsonl"):
        for number in range(10_000):
            append(place / "index.jsonl", json.dumps({"number": number, "caption": "x" * 100}))
    text = (place / "index.jsonl").read_text()
    assert text.endswith("\n") and [json.loads(line)["number"] for line in text.splitlines()] == list(range(number))


def test_a_line_cut_off_by_a_kill_is_healed_by_the_next_one(tmp_path):
    Record(tmp_path).add(Number("one", 1))
    with open(tmp_path / "index.jsonl", "a") as index:
        index.write('{"kind": "number", "name": "t')
    Record(tmp_path).add(Number("three", 3))
    assert [json.loads(line)["name"] for line in (tmp_path / "index.jsonl").open()] == ["one", "three"]


def test_what_a_killed_process_was_writing_goes_at_the_next_start(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from convscope.runs.atomic_io import write\n"
        "def slowly(part):\n    part.write_text('half'); print(part.name, flush=True); time.sleep(60)\n"
        "write(Path(sys.argv[1]) / 'pictures/a.png', slowly)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as writing:
        part = tmp_path / "pictures" / writing.stdout.readline().strip()
        remove_partial_files(tmp_path)
        assert part.read_text() == "half"  # its process lives
        writing.send_signal(signal.SIGKILL)
    assert part.is_file()
    (tmp_path / "pictures/.hidden").write_text("not ours")
    Record(tmp_path)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [".hidden"]


def test_a_run_on_a_full_disk_ends_in_one_line_and_goes_on_when_there_is_room(disk, tmp_path, cache):
    run = disk("size=3m") / "run"
    words = [*TINY, "trainer.max_epochs=9", f"data.cache_dir={cache}", f"hydra.run.dir={run}"]
    ended = convscope(*words, cwd=tmp_path)
    errors = [line for line in ended.stderr.splitlines() if "convscope:" in line]
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and len(errors) == 1, ended.stderr
    assert "convscope: the disk is full: " in errors[0] and f"left for {run}" in errors[0] and "resume=" in errors[0]
    epoch = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["epoch"]
    assert 0 <= epoch < 8 and not [path for path in run.rglob(".[0-9]*") if path.is_file()]
    disk("size=30m")
    again = convscope(f"resume={run}", cwd=tmp_path)
    assert again.returncode == 0 and f"{run} goes on after epoch" in again.stdout, again.stderr
    epochs = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]
    assert epochs == ["epoch", *map(str, range(1, 10))] and json.loads((run / "summary.json").read_text())["finished"]


PLACES = {  # job -> the config key of the folder in which it writes most, and other overrides
    "visualize": ("hydra.run.dir", []),
    "transfer": ("transfer.keep", ["transfer.per_class=[2]", "transfer.folds=1"]),
    "convert": ("convert.to", ["data.draw_seed=6"]),
}


@pytest.mark.parametrize(
    ("job", "options"),
    [(job, "size=40k") for job in PLACES] + [(job, "ro,size=40k") for job in ("transfer", "convert")],
)
def test_a_job_on_a_disk_that_takes_nothing_more_ends_in_one_line(job, options, disk, trained, tmp_path, cache):
    (key, more), place = PLACES[job], disk(options)
    where = {"hydra.run.dir": tmp_path / "run", "data.cache_dir": cache} | {key: place / "there"}
    net = [] if job == "convert" else [f"ckpt={trained}/checkpoints/last.ckpt"]
    words = [f"job={job}", *net, "data.train=80", "data.val=40", "data.image_size=64", "trainer.accelerator=cpu", *more]
    ended = convscope(*words, *(f"{name}={path}" for name, path in where.items()), cwd=tmp_path)
    errors = [line for line in ended.stderr.splitlines() if line.startswith("convscope:")]
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and len(errors) == 1, ended.stdout + ended.stderr
    assert str(place) in ended.stderr.replace("\n", "")
    assert not [path for path in place.rglob(".[0-9]*") if path.is_file()]


@pytest.mark.parametrize("options", ["size=40k", "ro,size=40k"])
def test_a_cache_on_a_disk_that_takes_nothing_more_is_a_warning(options, disk):
    folder = disk(options) / "there"
    source = critters(10, 10, 64, 0, folder)
    assert [len(split.labels) for split in (source.train, source.val)] == [10, 10]
    [remark] = source.remarks
    assert remark.startswith(f"data.cache_dir={folder}: ") and ("No space" in remark or "Read-only" in remark)
    stored = decoded_once(source.train, 200, Cache(folder, 1.0), True, "stop")
    assert stored.remark.startswith(f"data.cache_dir={folder}: ") and stored.split is source.train


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_reported_before_any_image_is_decoded(disk, tmp_path):
    (tmp_path / "file").write_text("taken")
    read_only = disk("ro,size=1m")
    for place, reason in ((read_only, "Read-only"), (tmp_path / "file", "File exists")):
        ended = convscope(*TINY, f"data.cache_dir={tmp_path}/cache", f"hydra.run.dir={place}", cwd=tmp_path)
        assert ended.returncode == 1 and ended.stdout == "" and "Traceback" not in ended.stderr
        assert f"convscope: cannot write to {place} ({reason}" in ended.stderr.replace("\n", "")
        assert "hydra.run.dir=<folder>" in ended.stderr
    assert not (tmp_path / "cache").exists() and (tmp_path / "file").read_text() == "taken"


def test_two_runs_started_at_once_in_one_folder_do_not_mix(tmp_path, cache):
    words = [*TINY, "trainer.max_epochs=2", f"data.cache_dir={cache}", "hydra.run.dir=deep/run"]
    command = [sys.executable, str(ROOT / "src/run.py"), *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=tmp_path, env=env, **pipes) for _ in range(2)]
    output = [process.communicate(timeout=300) for process in both]
    first, second = sorted(range(2), key=lambda number: both[number].returncode)
    assert both[first].returncode == 0, output
    run = tmp_path / "deep/run"
    if both[second].returncode == 0:  # it came when the first was through
        assert "has finished; nothing is left to do" in output[second][0] + output[first][0]
    else:
        assert f"another process trains in {run} just now" in output[second][1] and "Traceback" not in output[second][1]
    assert [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()] == ["epoch", *"12"]
    assert json.loads((run / "summary.json").read_text())["finished"] and (run / ".hydra/config.yaml").is_file()
