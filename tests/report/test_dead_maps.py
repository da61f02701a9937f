"""Which maps of a whole layer no image excites, from the records of a run."""

import torch
from safetensors.torch import save_file

from convscope.runs.top9_records import dead_maps, read_layer_record


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


def test_without_a_record_nothing_is_known(tmp_path):
    written(tmp_path, torch.zeros(4))
    assert dead_maps(read_layer_record(tmp_path, 2, "conv1")) is None
    assert dead_maps(read_layer_record(tmp_path, 3, "conv9")) is None
    assert dead_maps(read_layer_record(tmp_path, 3, "conv1")) is None  # of another shape
    (tmp_path / "top9" / "epoch_003.safetensors").write_bytes(b"cut")
    assert dead_maps(read_layer_record(tmp_path, 3, "conv1")) is None
