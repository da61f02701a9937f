"""The run folder: files whole under their final names, index and metrics that agree with them."""

import csv
import json

import matplotlib.figure
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from convscope.errors import UserError
from convscope.runs.atomic_io import write
from convscope.runs.record import Arrays, Number, Picture, Record, Table


def lines(record):
    return [json.loads(line) for line in (record.folder / "index.jsonl").read_text().splitlines()]


class Keeper:
    """A logger that keeps the pictures it receives."""

    def __init__(self):
        self.received = []

    def picture(self, picture, path):
        self.received.append((picture.name, path.name, path.is_file()))


def test_pictures_are_files_lines_and_handed_on(tmp_path):
    keeper = Keeper()
    record = Record(tmp_path / "run", [keeper])
    photo = Image.new("RGB", (40, 30), (200, 10, 10))
    record.add(Picture("top9/conv3", photo, "nine", epoch=3, layer="conv3"))
    record.add(Picture("filters/conv1", photo, plot=True))
    record.add(Picture("curves", matplotlib.figure.Figure()))
    assert Image.open(tmp_path / "run/pictures/top9/conv3/epoch_003.jpg").size == (40, 30)
    assert Image.open(tmp_path / "run/pictures/filters/conv1.png").getpixel((0, 0)) == (200, 10, 10)
    assert lines(record)[0] == {
        "kind": "picture", "name": "top9/conv3", "epoch": 3, "path": "pictures/top9/conv3/epoch_003.jpg",
        "caption": "nine", "layer": "conv3",
    }  # fmt: skip
    assert all((record.folder / line["path"]).is_file() for line in lines(record))
    assert [name for name, *_ in keeper.received] == ["top9/conv3", "filters/conv1", "curves"]
    assert all(exists for *_, exists in keeper.received)


def test_the_same_picture_again_has_one_line(tmp_path):
    record = Record(tmp_path)
    for color in ((0, 0, 0), (255, 255, 255)):
        record.add(Picture("evolution/conv1", Image.new("RGB", (8, 8), color), "as it grows"))
    record.add(Number("best", 0.5))
    record.add(Picture("evolution/conv1", Image.new("RGB", (8, 8)), "another caption"))
    assert [(line["name"], line.get("caption")) for line in lines(record)] == [
        ("evolution/conv1", "another caption"),
        ("best", None),
    ]


def test_metrics_keep_a_column_for_every_metric(tmp_path):
    record = Record(tmp_path)
    record.row(1, {"val/top1": 0.5})
    record.row(2, {"val/top1": 0.625, "dead/conv1": 0.0})
    record.row(2, {"val/top1": 0.75, "dead/conv1": 0.0})  # an epoch done again replaces its row
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert rows == [
        {"epoch": "1", "val/top1": "0.5", "dead/conv1": ""},
        {"epoch": "2", "val/top1": "0.75", "dead/conv1": "0"},
    ]


def test_tables_numbers_arrays_and_summary(tmp_path):
    record = Record(tmp_path)
    record.add(Table("layers", [{"name": "conv1", "side": 110}, {"name": "a,b", "side": 55}]))
    record.add(Number("loss", float("nan"), epoch=2))
    record.add(Arrays("top9", {"conv1.score": torch.arange(6.0).reshape(2, 3)}, epoch=1))
    record.summary({"final": {"val/loss": float("inf")}, "classes": ("cat", "dog")})
    assert list(csv.DictReader((tmp_path / "tables/layers.csv").open()))[1] == {"name": "a,b", "side": "55"}
    assert lines(record)[1] == {"kind": "number", "name": "loss", "epoch": 2, "value": None}  # JSON knows no NaN
    assert load_file(tmp_path / "top9/epoch_001.safetensors")["conv1.score"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "final": {"val/loss": None},
        "classes": ["cat", "dog"],
    }


def test_values_that_share_memory_are_written_each(tmp_path):
    cascade = torch.arange(3.0).reshape(1, 3)
    Record(tmp_path).add(Arrays("sanity/maps", {"cascade": cascade, "weights": cascade[-1], "turned": cascade.T}))
    written = load_file(tmp_path / "sanity/maps.safetensors")
    assert {name: values.tolist() for name, values in written.items()} == {
        "cascade": [[0, 1, 2]],
        "weights": [0, 1, 2],
        "turned": [[0], [1], [2]],
    }


@pytest.mark.parametrize("name", ["evolution/../../elsewhere", "/elsewhere"])
def test_a_name_leads_out_of_no_folder(tmp_path, name):
    with pytest.raises(ValueError, match="is no name in a run folder"):
        Record(tmp_path / "run").add(Picture(name, Image.new("RGB", (4, 4))))
    assert list(tmp_path.rglob("elsewhere*")) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write(tmp_path / "a.txt", "old")

    def fails(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a.txt", fails)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write to .*taken.* choose another with hydra.run.dir="):
        Record(tmp_path / "taken")


def test_a_second_run_in_a_folder_replaces_lines_and_keeps_the_others(tmp_path):
    first = Record(tmp_path)
    first.add(Number("share", 0.25))
    first.add(Number("other", 1))
    with open(tmp_path / "index.jsonl", "a") as index:
        index.write('{"kind": "number", "na')  # the process was killed here
    second = Record(tmp_path)
    second.add(Number("share", 0.5))
    assert [(line["name"], line["value"]) for line in lines(second)] == [("share", 0.5), ("other", 1)]
    assert second.numbers == {"share": 0.5}
