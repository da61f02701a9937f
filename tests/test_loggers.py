"""Weights & Biases and TensorBoard: real offline runs, read back from what they wrote."""

import json
import struct

import pytest

from conftest import SMALL, convscope
from convscope import loggers
from convscope.problem import Problem

EPOCHS, LAYERS = 2, ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(scope="module")
def logged(tmp_path_factory, cache):
    """A run with both loggers, and wandb's own folders kept inside it."""
    place = tmp_path_factory.mktemp("logged")
    ended = convscope(
        *SMALL, "logger=[wandb,tensorboard]", f"data.cache_dir={cache}", "hydra.run.dir=run", cwd=place,
        WANDB_API_KEY="", HOME=str(place), WANDB_DATA_DIR=str(place), WANDB_CACHE_DIR=str(place),
        NETRC=str(place / "none"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
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


def test_wandb_has_one_picture_per_layer_and_epoch_with_epoch_as_its_axis(logged):
    rows = list(history(logged))
    (files,) = logged.glob("wandb/offline-run-*/files")
    for layer in LAYERS:
        shown = [row for row in rows if f"top9/{layer}" in row]
        assert [row["epoch"] for row in shown] == list(range(1, EPOCHS + 1))
        for row in shown:
            picture = row[f"top9/{layer}"]
            assert picture["_type"] == "image-file" and (files / picture["path"]).stat().st_size == picture["size"]
            assert picture["path"].endswith(".jpg") and layer in picture["caption"]
    assert sum("val/top1" in row for row in rows) == EPOCHS


def test_tensorboard_has_the_same_pictures_and_numbers(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logged / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()
    for layer in LAYERS:
        assert [event.step for event in events.Images(f"top9/{layer}")] == list(range(1, EPOCHS + 1))
    assert len(events.Scalars("val/top1")) == EPOCHS


def test_an_unknown_logger_is_told(tmp_path):
    said = "unknown logger mlflow; possible: logger=local, wandb, tensorboard"
    with pytest.raises(Problem, match=said), loggers.opened({"mlflow": {}}, tmp_path, {}):
        pass
