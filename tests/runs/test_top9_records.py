"""Top-9 records as somebody else may have left them: what lies is left out, what is whole is read."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from convscope.runs.top9_records import (
    FIELDS,
    dead_maps,
    read_layer_record,
    read_layer_records,
    record_path,
    strongest_images,
)


def fields(maps=2):
    """Of one layer; its second map is dead."""
    score = torch.tensor([[5.0, 4.5, 3, 2, 1, 1, 1, 0.5, 0.25], [-torch.inf] * 9])[:maps]
    image = torch.stack([torch.arange(9), torch.full((9,), -1)])[:maps]
    return dict(zip(FIELDS, (score, image, image * 2, image * 3), strict=True))


def stored(folder, **layers):
    path = record_path(folder, 1)
    path.parent.mkdir()
    save_file(
        {f"{layer}.{name}": value.contiguous() for layer, of in layers.items() for name, value in of.items()}, path
    )
    return path


def header(text):
    return struct.pack("<Q", len(text)) + text


def lying(**changed):
    about = {"dtype": "F32", "shape": [2, 9], "data_offsets": [0, 72]} | changed
    return header(json.dumps({f"conv1.{name}": about for name in FIELDS}).encode()) + b"0" * 72


FILES = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[:-3],
    "no safetensors": lambda whole: b"<html>not found</html>",
    "a header of 2^60 bytes": lambda whole: struct.pack("<Q", 2**60) + whole[8:],
    "a header that is no JSON": lambda whole: header(b"{") + whole,
    "more than the file holds": lambda whole: lying(shape=[2**40, 9], data_offsets=[0, 2**40 * 36]),
    "sizes that overflow": lambda whole: lying(shape=[2**63, 2**63]),
    "negative offsets": lambda whole: lying(data_offsets=[-72, 0]),
    "an unknown type": lambda whole: lying(dtype="F1"),
    "one place for all": lambda whole: lying(),
}
TENSORS = {
    "bfloat16": {"score": torch.zeros(2, 9, dtype=torch.bfloat16)},
    "eight bits": {"score": torch.zeros(2, 9, dtype=torch.float8_e4m3fn)},
    "places that are no whole numbers": {"row": torch.zeros(2, 9)},
    "eight images": {name: value[:, :8] for name, value in fields().items()},
    "one dimension": {"score": torch.zeros(18)},
    "other maps than scores": {"image": torch.zeros(3, 9, dtype=torch.int64)},
    "no images": {"image": None},
}


def read(folder):
    return (
        read_layer_records(folder, 1),
        read_layer_record(folder, 1, "conv1"),
        dead_maps(read_layer_record(folder, 1, "conv1")),
    )


@pytest.mark.parametrize("damage", FILES)
def test_a_file_that_lies_is_as_none(damage, tmp_path):
    path = stored(tmp_path, conv1=fields())
    assert read(tmp_path)[2] == [1]
    path.write_bytes(FILES[damage](path.read_bytes()))
    assert read(tmp_path) == ({}, None, None)
    assert [nine.image for nine in strongest_images(read_layer_record(tmp_path, 1, "conv1"), [0, 1])] == [[], []]


def test_a_folder_in_its_place_is_as_none(tmp_path):
    record_path(tmp_path, 1).mkdir(parents=True)
    assert read(tmp_path) == ({}, None, None)


@pytest.mark.parametrize("damage", TENSORS)
def test_a_layer_that_is_not_whole_is_left_out(damage, tmp_path):
    broken = {name: value for name, value in (fields() | TENSORS[damage]).items() if value is not None}
    stored(tmp_path, conv1=broken, conv2=fields())
    layers, conv1, dead = read(tmp_path)
    assert list(layers) == ["conv2"] and conv1 is None and dead is None
    for field, expected in zip(layers["conv2"], fields().values(), strict=True):
        assert (field == expected.numpy()).all()


def test_what_is_whole_is_read_and_maps_that_are_not_there_are_empty(tmp_path):
    stored(tmp_path, conv1=fields(maps=1))
    strongest, absent = strongest_images(read_layer_record(tmp_path, 1, "conv1"), [0, 7])
    assert strongest.image == list(range(9)) and strongest.score[:3] == [5, 4.5, 3] and strongest.col[2] == 6
    assert absent == ([], [], [], [])


def written(folder, score, name="epoch_003"):
    (folder / "top9").mkdir(exist_ok=True)
    places = {f"conv1.{place}": torch.zeros(score.shape, dtype=torch.int64) for place in ("image", "row", "col")}
    save_file({"conv1.score": score, **places}, folder / "top9" / f"{name}.safetensors")


def test_a_map_is_dead_where_no_score_is_above_zero(tmp_path):
    score = torch.rand(12, 9) + 0.1
    score[[2, 7]] = 0
    score[5, 1:] = 0  # a single image excites it
    score[11] = float("-inf")  # fewer images than nine
    written(tmp_path, score)
    written(tmp_path, score[:3], "top9")
    assert dead_maps(read_layer_record(tmp_path, 3, "conv1")) == [2, 7, 11]
    assert dead_maps(read_layer_record(tmp_path, None, "conv1")) == [2]


def test_without_a_record_no_map_is_known_to_be_dead(tmp_path):
    written(tmp_path, torch.zeros(4, 9))
    assert dead_maps(read_layer_record(tmp_path, 2, "conv1")) is None
    assert dead_maps(read_layer_record(tmp_path, 3, "conv9")) is None
