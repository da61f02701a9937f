import json

import pytest
from safetensors.numpy import load_file, save_file

from convscope.analyses.claims.compute.histories import convergence
from convscope.report.convergence import convergence_in_words, layer_convergences, remeasure_overlap
from convscope.report.page import write_page
from convscope.runs.reading import read_run
from report.long_run import long_run


def test_epochs_that_were_not_measured_are_skipped():
    measured = {"stayed/conv1": [0, None, 0.7, None], "dead/conv1": [0.5, None, 0.25, None]}
    (conv1,) = layer_convergences({"epoch": [1, 2, 3, 4], **measured}, {})
    assert (conv1.epochs, conv1.overlaps) == ([1, 3], [0, 0.7])
    assert (conv1.convergence_epoch, conv1.dead_share) == (3, 0.25)


def columns(**stayed):
    return {"epoch": [1, 2, 3, 4]} | {f"stayed/{layer}": values for layer, values in stayed.items()}


def in_words(metrics):
    return convergence_in_words(layer_convergences(metrics, {}))


def test_answer_names_first_and_last():
    layers = layer_convergences(
        columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.9, 0.9, 0.9], conv3=[0, 0.1, 0.9, 0.9]), {}
    )
    assert convergence_in_words(layers) == "conv1 and conv2 settled first, at epoch 2; conv3 settled last, at epoch 3."


def test_answer_says_what_has_not_settled():
    layers = layer_convergences(columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.1, 0.1, 0.1]), {})
    assert convergence_in_words(layers) == "conv1 settled first, at epoch 2; conv2 has not settled."


def test_answer_admits_a_single_comparison():
    layers = layer_convergences(columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.1, 0.1, 0.6]), {})
    assert convergence_in_words(layers).endswith("conv2 settled last, at epoch 4 (by the last comparison alone).")


def test_answer_when_all_settle_together_and_when_none_does():
    assert in_words(columns(conv1=[0, 0.9, 0.9, 0.9])) == "conv1 settled at epoch 2."
    assert in_words(columns(conv1=[0, 0.1, 0.1, 0.1])).startswith("No layer has settled")


def test_dead_maps_are_counted_where_the_number_of_maps_is_known():
    metrics = columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.9, 0.9, 0.9], conv3=[0, 0.9, 0.9, 0.9])
    metrics |= {"dead/conv1": [0.5, 0.4, 0.3, 0.25], "dead/conv2": [0.0] * 4, "dead/conv3": [0.1] * 4}
    layers = layer_convergences(metrics, {"conv1": 96, "conv2": 8})
    assert [layer.dead_maps for layer in layers] == ["24 of 96", "0 of 8", "10 %"]
    assert convergence_in_words(layers).endswith("Dead maps: conv1 (24 of 96) and conv3 (10 %).")


def test_no_dead_maps_is_said_and_one_epoch_has_no_answer():
    metrics = columns(conv1=[0, 0.9, 0.9, 0.9]) | {"dead/conv1": [0.5, 0, 0, 0]}
    assert in_words(metrics).endswith("No map is dead: some image excites each of them.")
    assert in_words({"epoch": [1], "stayed/conv1": [0.0]}) == ""


def test_an_unfinished_run_has_settled_so_far_and_one_that_has_not_learned_not_at_all():
    layers = layer_convergences(
        {"epoch": [1, 2, 3], "stayed/conv1": [0.0, 0.9, 0.9], "dead/conv1": [0, 0, 0.25]},
        {"conv1": 8},
        {"conv1": [2, 5]},
    )
    assert convergence_in_words(layers) == "conv1 settled at epoch 2. Dead maps: conv1 (2 of 8: maps 2, 5)."
    assert convergence_in_words(layers, ended=False).startswith("So far: conv1 settled at epoch 2.")
    assert convergence_in_words(layers, learned=False).startswith(
        "The net has not learned, so nothing can be said of what settles."
    )


def test_a_layer_without_a_living_map_has_not_settled():
    metrics = columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 1.0, 1.0, 1.0]) | {"dead/conv2": [1.0] * 4}  # of 0.1
    layers = layer_convergences(metrics, {"conv2": 24})
    assert [layer.convergence_epoch for layer in layers] == [2, None] and layers[1].all_dead
    assert convergence_in_words(layers) == "conv1 settled at epoch 2. Dead maps: conv2 (24 of 24)."
    blank = columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, None, None, None]) | {"dead/conv2": [1.0] * 4}
    assert convergence_in_words(layer_convergences(blank, {"conv2": 24})) == convergence_in_words(layers)
    assert in_words({"epoch": [1, 2], "stayed/a": [0, 1.0], "dead/a": [1, 1.0]}).startswith("Nothing can")


@pytest.fixture
def half_dead(tmp_path):
    """A run of six epochs in which a third of conv2 is dead: its record has the first images with a score of 0.

    Its metrics.csv is that of version 0.1, which counted dead maps as settled.
    """
    folder = long_run(tmp_path / "2026-01-02_03-04-05-000000_long", epochs=6, layers=2, maps=5)
    for path in sorted((folder / "top9").iterdir()):
        record = load_file(path)
        record["conv2.score"][::3] = 0
        record["conv2.image"][::3] = range(9)
        save_file(record, path)
    return folder


def brute(folder, layer, epoch, maps):
    """The overlap of these maps with the epoch before, mean over the living ones, by sets."""
    records = [load_file(folder / f"top9/epoch_{number:03d}.safetensors") for number in (epoch, epoch - 1)]
    shares = []
    for map_ in maps:
        after, before = ({*r[f"{layer}.image"][map_][r[f"{layer}.score"][map_] > 0].tolist()} for r in records)
        shares += [len(after & before) / len(after)] if after else []
    return sum(shares) / len(shares)


def test_column_sentence_bars_and_claim_say_one_thing_of_a_layer_with_dead_maps(half_dead):
    run = read_run(half_dead)
    metrics = remeasure_overlap(half_dead, run.metrics)
    number = len(load_file(half_dead / "top9/epoch_001.safetensors")["conv2.score"])
    expected = [brute(half_dead, "conv2", epoch, range(number)) for epoch in range(2, 7)]
    assert metrics["stayed/conv2"][1:] == pytest.approx(expected)
    assert metrics["stayed/conv2"] != run.metrics["stayed/conv2"] and metrics["val/top1"] == run.metrics["val/top1"]
    write_page(half_dead)
    atlas = json.loads((half_dead / "report/atlas/conv2.js").read_text().partition(" = ")[2].rstrip(";\n"))
    maps = atlas["frames"][5]["sheet"]["maps"]
    bars = [bar for bar in atlas["kept"][5] if bar is not None]
    assert sum(bars) / len(bars) == pytest.approx(brute(half_dead, "conv2", 6, maps), abs=1e-3)
    because = convergence(run, ["conv1", "conv2"], 0).because
    for layer in layer_convergences(metrics, {}):
        assert f"{layer.layer} {layer.convergence_epoch or 'not'}" in because
    assert f"{len(range(0, number, 3)) + 1} dead ones aside" in because  # one of conv1 has never lived
    data = json.loads((half_dead / "report/data.js").read_text().removeprefix("window.DATA = ").rstrip(";\n"))
    assert data["metrics"]["stayed/conv2"][1:] == pytest.approx(expected)


def test_a_run_without_records_keeps_its_columns_and_repeated_numbers_are_no_measurements(half_dead):
    metrics = read_run(half_dead).metrics
    for path in (half_dead / "top9").iterdir():
        path.unlink() if path.stem not in ("epoch_002", "epoch_004") else None
    for name in ("stayed/conv1", "stayed/conv2", "dead/conv1", "dead/conv2"):
        metrics[name][2] = metrics[name][1]  # as version 0.1 wrote it where epoch 3 was not shown
    remeasured = remeasure_overlap(half_dead, metrics)
    assert remeasured["stayed/conv1"][2] is None and remeasured["dead/conv2"][2] is None
    assert remeasured["stayed/conv1"][4] == metrics["stayed/conv1"][4]  # the record is gone, but it was measured
    (half_dead / "top9/epoch_002.safetensors").unlink()
    (half_dead / "top9/epoch_004.safetensors").unlink()
    assert remeasure_overlap(half_dead, metrics) == metrics
