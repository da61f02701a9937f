"""Weights & Biases, TensorBoard and MLflow: real offline runs, read back from what they wrote."""

import csv
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from conftest import SMALL, convscope
from convscope import loggers
from convscope.errors import UserError
from convscope.loggers import FaultTolerantLogger
from convscope.runs.record import Picture, Record
from wandb_server import receiving

WANDB = {"project": None, "mode": None, "table": 0, "artifacts": []}
EPOCHS, LAYERS = 2, ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture
def clean_wandb(monkeypatch, tmp_path):
    """No variable, settings file or key of wandb."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


@pytest.fixture(scope="module")
def logged(tmp_path_factory, cache):
    """A run with all loggers, by somebody who has no home to write into."""
    place = tmp_path_factory.mktemp("logged")
    ended = convscope(
        *SMALL, "logger=[wandb,tensorboard,mlflow]", "logger.wandb.table=100", "logger.wandb.artifacts=[top9]",
        f"data.cache_dir={cache}", "hydra.run.dir=run", cwd=place,
        WANDB_API_KEY="", HOME="/proc/1",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (place / "run" / "printed.txt").write_text(ended.stdout)
    (place / "run" / "errors.txt").write_text(ended.stderr)
    return place / "run"


def records(path):
    """The protobuf records of an offline file: a 7-byte header, then blocks of 32 KiB as LevelDB's log writes them."""
    from wandb.proto import wandb_internal_pb2

    data, place, text = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        _, length, kind = struct.unpack("<IHB", data[place : place + 7]) if left >= 7 else (0, 0, 0)
        if left < 7 or (kind == 0 and length == 0):
            place += left
            continue
        text += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(text)
            text = b""
            yield record


def history(folder):
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    for record in records(file):
        if record.WhichOneof("record_type") == "history":
            row = {}
            for item in record.history.item:  # a picture arrives as one item for each of its fields
                *outer, last = [item.key] if item.key else item.nested_key
                place = row
                for key in outer:
                    place = place.setdefault(key, {})
                place[last] = json.loads(item.value_json)
            yield row


def test_an_epoch_is_one_step_of_wandb_with_all_its_pictures_and_numbers(logged):
    """So that the sliders of all layers move together; what is of the whole run is the one step after them."""
    rows = [flat(row) for row in history(logged)]
    assert [(row["_step"], row["epoch"]) for row in rows] == [(1, 1), (2, 2), (3, 2)]
    for row in rows[:EPOCHS]:
        assert {f"top9/{layer}/path" for layer in LAYERS} | {"filters/conv1/path", "val/top1", "lr"} <= row.keys()
    whole = {"evolution/conv1/path", "evolution/conv5/path", "settling/path", "curves/path", "features/path"}
    assert whole <= rows[-1].keys() and "lr" not in rows[-1]


def test_the_x_axis_of_wandb_is_the_epoch(logged):
    (file,) = logged.glob("wandb/offline-run-*/run-*.wandb")
    metrics = [record.metric for record in records(file) if record.HasField("metric")]
    assert {(metric.name or metric.glob_name): metric.step_metric for metric in metrics} == {"epoch": "", "*": "epoch"}


def test_wandb_warns_of_nothing(logged):
    printed = (logged / "printed.txt").read_text() + (logged / "errors.txt").read_text()
    lines = [line for line in printed.splitlines() if line.startswith("wandb: ")]
    assert any("Tracking run with" in line for line in lines)
    assert not [line for line in lines if re.search("warning|deprecat|anonymous", line, re.IGNORECASE)]


def test_wandb_has_one_picture_per_layer_and_epoch_with_epoch_as_its_axis(logged):
    rows = list(history(logged))
    (files,) = logged.glob("wandb/offline-run-*/files")
    for layer in LAYERS:
        pictures = [row for row in rows if f"top9/{layer}" in row]
        assert [row["epoch"] for row in pictures] == list(range(1, EPOCHS + 1))
        for row in pictures:
            picture = row[f"top9/{layer}"]
            assert picture["_type"] == "image-file" and (files / picture["path"]).stat().st_size == picture["size"]
            assert picture["path"].endswith(".jpg") and layer in picture["caption"]
    assert sum("val/top1" in row for row in rows) == EPOCHS


def events_of(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()


def mlflow_run(folder):
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{folder.parent}/outputs/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return client, run


def test_tensorboard_has_the_same_pictures(logged):
    events = events_of(logged)
    for layer in LAYERS:
        assert [event.step for event in events.Images(f"top9/{layer}")] == list(range(1, EPOCHS + 1))
        for event in events.Images(f"top9/{layer}"):  # a jpeg; a png is several times larger
            with Image.open(logged / f"pictures/top9/{layer}/epoch_{event.step:03d}.webp") as picture:
                assert (event.width, event.height) == picture.size
                pixels = np.asarray(picture.convert("RGB"), float)
            with Image.open(io.BytesIO(event.encoded_image_string)) as sent:
                assert sent.format == "JPEG" and np.abs(np.asarray(sent, float) - pixels).mean() < 6
    for name in (*(f"evolution/{layer}" for layer in LAYERS), "settling", "curves"):
        assert events.Images(name)[-1].step == EPOCHS  # of the whole run: at the end of it


def flat(row):
    """A line of wandb's history with its nested keys by path."""
    inner = [flat({f"{key}/{name}": part for name, part in value.items()})
             for key, value in row.items() if isinstance(value, dict)]  # fmt: skip
    return {key: value for part in [row, *inner] for key, value in part.items() if not isinstance(value, dict)}


def of_wandb(folder):
    rows = [flat(row) for row in history(folder)]
    return {key: {row["epoch"]: row[key] for row in rows if key in row} for row in rows for key in row}


def of_tensorboard(folder):
    events = events_of(folder)
    return {tag: {scalar.step: scalar.value for scalar in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def of_mlflow(folder):
    client, run = mlflow_run(folder)
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {key: {metric.step: metric.value for metric in points} for key, points in histories.items()}


@pytest.mark.parametrize("read", [of_wandb, of_tensorboard, of_mlflow])
def test_every_column_of_metrics_csv_is_there_by_epoch(read, logged):
    """The best so far stands beside them, nothing at a step of the optimizer, and nothing that was not measured."""
    rows = list(csv.DictReader((logged / "metrics.csv").open()))
    assert {"epoch", "lr", "seconds", "images_per_second", "renorm/conv1", "stayed/conv5"} <= rows[0].keys()
    numbers = read(logged)
    for column in rows[0]:
        measured = {int(row["epoch"]): float(row[column]) for row in rows if row[column]}
        if column.startswith(("stayed/", "similarity/")):
            assert measured.pop(1) == 0  # in metrics.csv since version 0.1
        compared = column.startswith(("recur/", "cka/", "stayed/", "similarity/"))  # with the epoch before
        assert numbers[column].keys() == measured.keys() == ({2} if compared else {1, 2}), column
        assert numbers[column] == pytest.approx(measured, rel=1e-5), column
    tops = [float(row["val/top1"]) for row in rows]
    assert list(numbers["best/val/top1"].values()) == pytest.approx([tops[0], max(tops)], rel=1e-5)
    assert all(points.keys() <= {1, 2} for points in numbers.values()) and "trainer/global_step" not in numbers


def test_pictures_of_the_whole_run_are_sent_once(logged):
    rows = list(history(logged))
    for name in (*(f"evolution/{layer}" for layer in LAYERS), "settling", "curves"):
        assert sum(name in row for row in rows) == 1


def test_what_wandb_got_is_what_was_announced(logged):
    pictures = sum(
        part.get("_type") == "image-file" for row in history(logged) for part in row.values() if isinstance(part, dict)
    )
    lines = (logged / "printed.txt").read_text().splitlines()
    announced = next(line for line in lines if "Weights & Biases" in line)
    assert any("this run writes about " in line for line in lines)
    assert f"gets {pictures} pictures" in announced and "a table of 100 of " in announced


def artifacts_of(folder):
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    artifacts = [record.request.log_artifact.artifact for record in records(file) if record.HasField("request")]
    return artifacts + [record.artifact for record in records(file) if record.HasField("artifact")]


def test_the_table_of_projections_has_their_numbers_and_a_picture_for_each_layer_and_epoch(logged):
    (row,) = [row for row in history(logged) if "features" in row]
    assert row["features"]["nrows"] == 100
    (files,) = logged.glob("wandb/offline-run-*/files")
    table = json.loads((files / row["features"]["path"]).read_text())
    columns = ["epoch", "layer", "map", "rank", "score", "image", "patch", "projection", "grid"]
    assert table["columns"] == columns
    tops = {epoch: load_file(logged / "top9" / f"epoch_{epoch:03d}.safetensors") for epoch in (1, 2)}
    for epoch, layer, number, rank, score, image, *_ in table["data"]:
        assert tops[epoch][f"{layer}.image"][number, rank - 1] == image
        assert tops[epoch][f"{layer}.score"][number, rank - 1] == pytest.approx(score)
    ranks = [row[3] for row in table["data"]]
    assert set(ranks) <= set(range(1, 10)) and 1 in ranks
    assert ranks.count(1) >= ranks.count(2) >= ranks.count(9)  # the strongest have the room there is
    (sent,) = [artifact for artifact in artifacts_of(logged) if artifact.type == "run_table"]
    pictures = {entry.path: entry.size for entry in sent.manifest.contents if entry.path.endswith(".jpg")}
    grids = {(epoch, layer) for epoch, layer, *_ in table["data"]}
    assert len(pictures) == len(grids)  # the grids themselves, not two files for each row
    sizes = [(logged / f"pictures/top9/{layer}/epoch_{epoch:03d}.webp").stat().st_size for epoch, layer in grids]
    assert all(size < 4 * of_webp for size, of_webp in zip(sorted(pictures.values()), sorted(sizes), strict=True))


def test_a_box_of_the_table_is_the_image_patch_it_speaks_of(logged):
    """The places of the second map's fifth tile, counted by hand."""
    from convscope.loggers.projection_table import projection_rows

    table_rows = projection_rows(logged, 10**6)
    (line,) = [
        json.loads(line)
        for line in (logged / "index.jsonl").read_text().splitlines()
        if '"top9/conv2"' in line and '"epoch": 2' in line
    ]
    sheet, number = line["sheet"], line["sheet"]["maps"][1]
    (row,) = [cells for cells in table_rows if (*cells[:4],) == (2, "conv2", number, 5)]
    for box, (left, top) in ((row.patch, sheet["patches"][1]), (row.projection, sheet["projections"][1])):
        left, top = left + 1 * (96 + 2), top + 1 * (96 + 2)  # rank 5 is the middle of 3 x 3
        assert box == (left, top, left + 96, top + 96)
    assert row.grid == logged / line["path"]
    assert len(table_rows) == len({cells[:4] for cells in table_rows})


def test_a_run_has_few_files_of_wandb_and_all_of_them_lie_in_its_folder(logged):
    """HOME cannot be written; the current folder and the run folder alone have grown."""
    files = [path for path in (logged / "wandb").rglob("*") if path.is_file()]
    grids = EPOCHS * len(LAYERS)
    assert len(files) <= 2 * grids + 30
    assert {path.name for path in logged.parent.iterdir()} <= {"run", "outputs"}
    line = next(line for line in (logged / "printed.txt").read_text().splitlines() if "tensorboard --logdir" in line)
    assert "--samples_per_plugin images=1000" in line


def test_the_record_of_features_is_an_artifact(logged):
    (top9,) = [artifact for artifact in artifacts_of(logged) if artifact.type == "top9"]
    assert [entry.path for entry in top9.manifest.contents] == ["epoch_001.safetensors", "epoch_002.safetensors"]


def test_mlflow_has_the_same_pictures(logged):
    client, run = mlflow_run(logged)
    assert (logged / "mlflow" / "run_id").read_text().strip() == run.info.run_id
    drawn = [path.name for path in Path(run.info.artifact_uri.removeprefix("file://"), "images").glob("*.png")]
    for layer in LAYERS:
        steps = {re.search(r"step\+(\d+)", name)[1] for name in drawn if name.startswith(f"top9~{layer}+")}
        assert steps == {"1", "2"}
    assert len(client.list_artifacts(run.info.run_id, "top9")) == EPOCHS


@pytest.fixture(scope="module")
def sent_later(tmp_path_factory):
    """An offline run of two sessions, sent by wandb's own client to a server that takes whatever comes: both of these.

    The first session ends within epoch 3, whose row never comes. The second one goes on from epoch 2, as after a kill.
    """
    place = tmp_path_factory.mktemp("sent")
    choices = {"wandb": {"project": "p", "mode": "offline", "table": 0, "artifacts": []}}
    for epochs in ((1, 2, 3), (3, 4)):
        time.sleep(1)  # wandb names the folder of a session by the second
        with loggers.open_loggers(choices, place / "run", {}) as chosen:
            record = Record(place / "run", chosen)
            for epoch in epochs:
                for layer in LAYERS:
                    color = (40 * epoch, 40 * LAYERS.index(layer), 10 * len(epochs))
                    record.add(Picture(f"top9/{layer}", Image.new("RGB", (64, 48), color), epoch=epoch, layer=layer))
                record.add(Picture("evolution/conv1", Image.new("RGB", (64, 48), (epoch, 0, 0))))
                if (epoch, len(epochs)) != (3, 3):
                    record.row(epoch, {"val/top1": epoch / 10, "val/loss": float("nan"), "dead/conv1": 0.0})
    received, server = receiving()
    client = Path(sys.executable).with_name("wandb")
    environment = {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "0" * 40}
    env = os.environ | environment | {"HOME": str(place), "WANDB_ERROR_REPORTING": "false", "NO_PROXY": "127.0.0.1"}
    offline = sorted((place / "run").glob("wandb/offline-run-*"))
    try:
        ended = subprocess.run([client, "sync", *offline], cwd=place, env=env, capture_output=True, text=True)
    finally:
        server.shutdown()
    assert len(offline) == 2 and "Finished syncing" in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    return received, server


@pytest.mark.slow
def test_an_offline_run_is_sent_later_with_all_its_pictures(sent_later):
    received, _ = sent_later
    sent = {name for name in received if name.startswith("media/images/")}
    assert len([name for name in sent if name.startswith("media/images/top9/")]) == (3 + 2) * len(LAYERS)
    assert len(sent) == (3 + 2) * len(LAYERS) + 2  # the evolution at the end of each session


@pytest.mark.slow
def test_the_steps_of_a_resumed_run_go_on_rising(sent_later):
    """One line of history for each epoch and session, with all pictures, and one for the end of each session."""
    (lines,) = sent_later[1].history.values()
    rows = [lines[number] for number in range(len(lines))]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 3, 3, 4, 4]
    assert [row["_step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    of_run = [row for row in rows if "evolution/conv1" in row]
    assert of_run == [rows[3], rows[6]]
    for row in rows:
        pictures = {name for name in row if name.startswith("top9/")}
        assert pictures == (set() if row in of_run else {f"top9/{layer}" for layer in LAYERS})
    assert [row.get("val/top1") for row in rows] == [0.1, 0.2, None, None, 0.3, 0.4, None]


@pytest.mark.slow
def test_what_is_no_number_is_sent_to_nobody(sent_later):
    (lines,) = sent_later[1].history.values()
    assert all("val/loss" not in row for row in lines.values())
    assert sum(row.get("dead/conv1") == 0 for row in lines.values()) == 4


def test_the_dashboard_speaks_of_what_a_run_has_logged(logged, tmp_path):
    """job=dashboard run=...: every key of its panels is one of the real run's, and every layer has its pictures."""
    words = "job=dashboard", f"run={logged}", f"hydra.run.dir={tmp_path}/dash"
    ended = convscope(*words, cwd=tmp_path, WANDB_API_KEY="", HOME=str(tmp_path))
    assert ended.returncode == 0 and "set WANDB_API_KEY" in ended.stdout, ended.stdout + ended.stderr
    spec = json.loads((tmp_path / "dash" / "dashboard.json").read_text())["spec"]
    panels = [panel for section in spec["section"]["panelBankConfig"]["sections"] for panel in section["panels"]]
    keys = {key for panel in panels for name in ("metrics", "mediaKeys") for key in panel["config"].get(name) or []}
    logged_keys = {key for row in history(logged) for key in row}
    deeper = {
        f"{key}/{inner}"
        for row in history(logged)
        for key, value in row.items()
        if isinstance(value, dict)
        for inner in value
    }
    assert keys and keys <= logged_keys | deeper
    assert {f"top9/{layer}" for layer in LAYERS} | {"val/top1", "stayed/conv5"} <= keys


def dashboard(place, *words, views=True):
    """job=dashboard with a key; what the account's server took, and how the program ended."""
    received, server = receiving(views)
    environment = {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "0" * 40}
    environment |= {"HOME": str(place), "NO_PROXY": "127.0.0.1", "WANDB_ERROR_REPORTING": "false"}
    try:
        ended = convscope("job=dashboard", *words, f"hydra.run.dir={place}/dash", cwd=place, **environment)
    finally:
        server.shutdown()
    return received, ended


@pytest.mark.slow
def test_the_dashboard_is_saved_by_wandbs_own_client(tmp_path):
    received, ended = dashboard(tmp_path, "dashboard.project=mine")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ((_, sent),) = [request for request in received if isinstance(request, tuple)]
    assert (sent["entityName"], sent["projectName"]) == ("me", "mine")
    assert "top9/conv5" in sent["spec"] and "/me/mine?nw=features" in ended.stdout


@pytest.mark.slow
def test_a_dashboard_that_cannot_be_saved_is_told(tmp_path):
    _, ended = dashboard(tmp_path, "dashboard.entity=them", views=False)
    assert ended.returncode == 1 and "could not be saved to them/convscope (" in ended.stderr
    assert "permission denied" in ended.stderr


@pytest.mark.slow
def test_a_dashboard_of_unknown_layers_is_told(tmp_path):
    _, ended = dashboard(tmp_path, "model=torchvision", "model.name=resnet18")
    assert ended.returncode == 1 and "name a run of it with run=<run folder>" in ended.stderr


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_its_own_runs_which_say_how_each_session_ended(tmp_path):
    """Opened on one folder: the same run of wandb and of MLflow; another folder of the sweep is of its group."""
    config = {"job": "train", "words": []}
    choices = {
        "wandb": {"project": "p", "mode": "offline", "table": 0, "artifacts": []},
        "mlflow": {"experiment": "e", "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"},
    }
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").write_text("")
    ids, ended = [], []
    sessions = ("one", ValueError("the loss is nan")), ("one", SystemExit(143)), ("one", None), ("two", None)
    for name, error in sessions:
        folder = tmp_path / "sweep" / name
        with suppress(ValueError, SystemExit), loggers.open_loggers(choices, folder, config) as (wandb, mlflow):
            ids.append((wandb.logger.experiment.id, mlflow.logger.run_id))
            assert wandb.logger.experiment.group == "sweep"
            assert wandb.logger.experiment.job_type == "train"
            client = mlflow.logger.experiment
            assert client.get_run(ids[-1][1]).info.status == "RUNNING"
            if error:
                raise error
        (file,) = (folder / "wandb" / "latest-run").glob("*.wandb")
        *_, code = (record.exit.exit_code for record in records(file) if record.HasField("exit"))
        ended.append((client.get_run(ids[-1][1]).info.status, code))
    assert ids[0] == ids[1] == ids[2] and not set(ids[2]) & set(ids[3])
    assert ended == [("FAILED", 1), ("KILLED", 1), ("FINISHED", 0), ("FINISHED", 0)]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"neptune": {}}, "unknown logger neptune; possible: logger=local, wandb, tensorboard, mlflow"),
        ({"wandb": {"project": "p", "table": -1, "artifacts": []}}, "logger.wandb.table=-1 is no number of rows"),
        ({"wandb": {"project": "p", "table": 0, "artifacts": ["weights"]}}, "possible: top9, checkpoints"),
        ({"wandb": WANDB | {"mode": "offlin"}}, "logger.wandb.mode=offlin is unknown .did you mean offline"),
        ({"wandb": WANDB | {"mode": "online"}}, "cannot begin online without a key; set WANDB_API_KEY"),
        ({"wandb": WANDB | {"mode": "offline", "project": "a/b:c"}}, "logger=wandb cannot begin: Invalid project name"),
        ({"mlflow": {"experiment": "e", "tracking_uri": "sqlite:////proc/1/x.db"}}, "cannot begin: No such file"),
        ({"mlflow": {"experiment": "e", "tracking_uri": "nonsense://x"}}, "logger=mlflow cannot begin: .*nonsense://x"),
    ],
)
def test_wrong_choices_are_told_in_one_line_and_leave_nothing_set(tmp_path, choices, message, clean_wandb):
    before = dict(os.environ)
    with pytest.raises(UserError, match=message) as error, loggers.open_loggers(choices, tmp_path / "run", {}):
        pass
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {name for name in os.environ if name.startswith("WANDB")} - before.keys() <= {"WANDB_ERROR_REPORTING"}


WAYS = {  # ways to say where runs go -> the mode that each says
    "setting": {None: None, "online": "online", "offline": "offline", "disabled": "disabled", "dryrun": "offline"},
    "WANDB_MODE": {None: None, "online": "online", "offline": "offline", "disabled": "disabled", "dryrun": "offline"},
    "file": {None: None, "mode = offline": "offline", "mode = disabled": "disabled", "base_url = http://x": None},
    "WANDB_DISABLED": {None: None, "true": "disabled", "1": "disabled", "false": None, "": None},
    "key": {None: "offline", "0" * 40: "online"},
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({way: st.sampled_from(list(values)) for way, values in WAYS.items()}))
def test_wandbs_own_environment_decides_before_our_default(clean_wandb, tmp_path, said):
    """The setting, then WANDB_MODE, wandb's settings file, WANDB_DISABLED, and last whether there is a key."""
    from convscope.loggers.wandb_mode import chosen_mode
    from convscope.loggers.weights_and_biases import WandbSession

    (tmp_path / "settings").write_text(f"[default]\n{said['file'] or ''}\n")
    variables = {name: said[way] for name, way in VARIABLES.items() if said[way] is not None}
    with patched_environment(variables | {"WANDB_CONFIG_DIR": str(tmp_path)}):
        session = WandbSession(tmp_path / "run")
        mode = chosen_mode({"mode": said["setting"]})
        session.end()
    assert mode == next(WAYS[way][said[way]] for way in WAYS if WAYS[way][said[way]])
    assert not (tmp_path / "run").exists()


VARIABLES = {"WANDB_MODE": "WANDB_MODE", "WANDB_DISABLED": "WANDB_DISABLED", "WANDB_API_KEY": "key"}


@contextmanager
def patched_environment(variables):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "choice", "address"),
    [("wandb", WANDB, "WANDB_BASE_URL"), ("mlflow", {"experiment": None, "tracking_uri": None}, "MLFLOW_TRACKING_URI")],
)
def test_a_server_that_is_gone_is_one_line_before_training(tmp_path, clean_wandb, name, choice, address):
    """The server's address is in the environment, as its makers document it; nothing listens there."""
    variables = {"WANDB_API_KEY": "0" * 40, "WANDB_INIT_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with patched_environment({**variables, address: "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}):  # noqa: SIM117
        with pytest.raises(UserError) as error, loggers.open_loggers({name: choice}, tmp_path / "run", {}):
            pass
    assert str(error.value).startswith(f"logger={name} cannot begin: ") and "127.0.0.1:9" in str(error.value)
    assert str(error.value).isprintable() and "; " in str(error.value)


class Brittle:
    """A logger whose calls fail from the n-th on. `calls`: what it was asked, in order."""

    logger = None

    def __init__(self, lasting):
        self.lasting, self.calls = lasting, []

    def call(self, name, *_):
        self.calls.append(name)
        if len(self.calls) > self.lasting:
            raise OSError(28, "No space left on device")

    def picture(self, *_):
        self.call("picture")

    def row(self, *_):
        self.call("row")

    def close(self, _):
        self.call("close")


@given(st.lists(st.sampled_from(["picture", "row"]), max_size=8), st.integers(0, 9))
def test_a_logger_that_fails_is_one_warning_and_hears_nothing_more_until_it_is_closed(calls, lasting):
    brittle, warnings = Brittle(lasting), []
    logger = FaultTolerantLogger("wandb", brittle, warnings.append)
    for call in calls:
        getattr(logger, call)(1, {})
    logger.close()
    received = [*calls[: lasting + 1], "close"]
    assert brittle.calls == received
    assert len(warnings) == int(len(received) > lasting) and logger.failure == "".join(warnings)
    assert all("No space left" in warning and "logger=wandb" in warning for warning in warnings)


@pytest.mark.slow
def test_loggers_whose_process_or_files_go_away_leave_the_record_whole(tmp_path, clean_wandb, capfd):
    """wandb's process is killed, TensorBoard's folder is removed: a warning each, and the run goes on."""
    warnings, choices = [], {"wandb": WANDB | {"mode": "offline"}, "tensorboard": {"flush_secs": 1}}
    with loggers.open_loggers(choices, tmp_path / "run", {"job": "train"}, warnings.append) as chosen:
        record = Record(tmp_path / "run", chosen)
        record.row(1, {"val/top1": 0.1})
        (core,) = Path(f"/proc/self/task/{threading.main_thread().native_id}/children").read_text().split()[-1:]
        os.kill(int(core), signal.SIGKILL)
        (tmp_path / "run" / "tensorboard").rename(tmp_path / "elsewhere")
        for epoch in range(2, 60):
            record.row(epoch, {"val/top1": 0.1})
            time.sleep(0.05 if len(warnings) < 2 else 0)
    assert sorted(warning.split()[0] for warning in warnings) == ["logger=tensorboard", "logger=wandb"]
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 60
    assert "Traceback" not in capfd.readouterr().err
    with loggers.open_loggers({"wandb": choices["wandb"]}, tmp_path / "next", {"job": "train"}) as (wandb,):
        assert wandb.logger.experiment.name == "next"  # the next run of a sweep has a process and a run of its own


@pytest.mark.slow
def test_a_server_that_dies_during_the_run_is_a_warning_with_the_words_to_send_the_rest(tmp_path, clean_wandb):
    _, server = receiving()
    variables = {"WANDB_API_KEY": "0" * 40, "WANDB_FINISH_TIMEOUT": "1", "NO_PROXY": "127.0.0.1"}
    warnings, address = [], f"http://127.0.0.1:{server.server_port}"
    with (
        patched_environment({**variables, "WANDB_BASE_URL": address}),
        loggers.open_loggers({"wandb": WANDB}, tmp_path / "run", {"job": "train"}, warnings.append) as chosen,
    ):
        server.shutdown()
        server.server_close()
        Record(tmp_path / "run", chosen).row(1, {"val/top1": 0.1})
    (warning,) = warnings
    sent_later = re.search(r"logger=wandb has failed \(.* type wandb sync (\S+)\)", warning)[1]
    assert len(list(Path(sent_later).glob("*.wandb"))) == 1
