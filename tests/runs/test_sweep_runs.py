"""Runs collected from folders in every state in which a sweep may leave them."""

import json
import os
import time

import pytest
import yaml

from convscope.analyses.sweep_table.compute.paper_comparison import percent
from convscope.errors import UserError
from convscope.runs.reading import Run
from convscope.runs.sweep_runs import SeedGroup, images_per_second, read_sweep_runs, varied_settings
from convscope.runs.training_runs import TrainingRun

HEAD = "epoch,train/top1,val/class_mean,val/top1,val/top5,seconds,images_per_second"


def leave(folder, *, seed=0, lr=0.1, val=(0.5, 0.6), finished=True, job="train", **summary):
    """A run folder as a training run leaves it. val: val top-1 of each epoch."""
    (folder / ".hydra").mkdir(parents=True)
    settings = {"job": job, "name": "${model.name}", "seed": seed, "optim": {"lr": lr}, "trainer": {"max_epochs": 2}}
    settings |= {"model": {"source": "rows", "name": "zfnet"}, "data": {"source": "folder"}}
    (folder / ".hydra/config.yaml").write_text(yaml.safe_dump(settings))
    rows = [f"{epoch},0.9,0.5,{top1},0.8,10,100" for epoch, top1 in enumerate(val, 1)]
    if rows:
        (folder / "metrics.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    if finished is not None:
        about = {"job": job, "name": folder.name, "seed": seed, "finished": finished, **summary}
        about |= {"final": {"epoch": len(val)}} if finished else {}
        (folder / "summary.json").write_text(json.dumps(about))
    return folder


def age(folder, hours):
    for path in folder.rglob("*"):
        os.utime(path, times=(time.time() - 3600 * hours,) * 2)


def states(folder):
    return {group.name: group.state for group in read_sweep_runs([folder]).groups}


def test_seeds_become_one_row_of_mean_and_standard_deviation(tmp_path):
    for seed, top1 in enumerate((0.5, 0.6, 0.7)):
        leave(tmp_path / f"zfnet_seed_{seed}", seed=seed, val=(0.1, top1), name="zfnet")
    leave(tmp_path / "other", lr=0.01, val=(0.25,))
    several, alone = read_sweep_runs([tmp_path]).groups
    assert (several.name, len(several.counted), several.state) == ("other", 1, "finished")  # by folder
    figure = percent(alone, "val top-1")
    assert alone.name == "zfnet" and figure.value == pytest.approx(40) and figure.spread == pytest.approx(10)
    assert percent(several, "val top-1") == (75, None)


def test_only_finished_seeds_count_and_the_others_are_told(tmp_path):
    leave(tmp_path / "a_seed_0", seed=0, val=(0.5, 0.6), name="a")
    leave(tmp_path / "a_seed_1", seed=1, val=(0.9,), finished=None)
    (group,) = read_sweep_runs([tmp_path]).groups
    assert group.state == "1 of 2 finished; seed 1 running: epoch 1 of 2"
    assert percent(group, "val top-1").value == pytest.approx(40) and percent(group, "val top-1").spread is None


def test_states_of_runs(tmp_path):
    leave(tmp_path / "0_done", lr=1)
    leave(tmp_path / "1_nan", lr=2, finished=False, problem="the loss became nan in epoch 3")
    leave(tmp_path / "2_killed", lr=3, finished=False)
    leave(tmp_path / "3_going", lr=4, finished=None, val=(0.5,))
    leave(tmp_path / "4_new", lr=5, finished=None, val=())
    age(leave(tmp_path / "5_silent", lr=6, finished=None, val=(0.5,)), 5)
    assert states(tmp_path) == {
        "0_done": "finished",
        "1_nan": "failed: the loss became nan in epoch 3",
        "2_killed": "stopped: epoch 2 of 2",
        "going": "running: epoch 1 of 2",
        "new": "running: epoch 0 of 2",
        "silent": "stopped: epoch 1 of 2, nothing written for 5 h 0 min",
    }


def test_a_run_that_goes_on_after_its_summary_is_running(tmp_path):
    longer = leave(tmp_path / "longer", lr=1, val=(0.5, 0.6))
    (longer / "metrics.csv").write_text((longer / "metrics.csv").read_text() + "3,0.9,0.5,0.7,0.8,10,100\n")
    again = leave(tmp_path / "again", lr=2, finished=False, problem="no space left")
    os.utime(again / "summary.json", times=(time.time() - 60,) * 2)
    assert states(tmp_path) == {"longer": "running: epoch 3 of 2", "again": "running: epoch 2 of 2"}


def test_a_row_cut_off_within_a_number_does_not_count(tmp_path):
    cut = leave(tmp_path / "cut", finished=None, val=(0.25, 0.5))
    text = (cut / "metrics.csv").read_text()
    for end in (len(text) - 1, len(text) - 12, len(text) - 20, len(text)):
        (cut / "metrics.csv").write_text(text[:end])
        (group,) = read_sweep_runs([tmp_path]).groups
        whole = end == len(text)
        assert group.runs[0].epochs == (2 if whole else 1)
        assert percent(group, "val top-1").value == (50 if whole else 75)
    (cut / "metrics.csv").write_text(HEAD[:9])
    assert percent(read_sweep_runs([tmp_path]).groups[0], "val top-1") is None


def test_the_best_epoch_counts_if_asked(tmp_path):
    leave(tmp_path / "a", val=(0.5, 0.75, 0.25))
    for epoch, error in (("last", 75), ("best", 25)):
        assert percent(read_sweep_runs([tmp_path], epoch).groups[0], "val top-1").value == error


def test_what_is_no_row_is_told(tmp_path):
    leave(tmp_path / "0_zfnet", name="zfnet")
    leave(tmp_path / "1_zfnet", name="zfnet", val=(0.5,), finished=None)
    leave(tmp_path / "comparison", job="diagnose", val=())
    (tmp_path / "2_nothing").mkdir()
    (tmp_path / "3_broken").mkdir()
    (tmp_path / "3_broken/summary.json").write_text('{"job": "tr')
    runs = read_sweep_runs([tmp_path, tmp_path / "0_zfnet"])
    assert [group.name for group in runs.groups] == ["zfnet"] and len(runs.groups[0].runs) == 1
    parent = tmp_path.name
    assert runs.left_out == {
        f"{parent}/1_zfnet": f"settings and seed are those of {parent}/0_zfnet, which is as far or farther",
        f"{parent}/comparison": "a run of job=diagnose",
        f"{parent}/2_nothing": "no run has left anything in it",
        f"{parent}/3_broken": "what it was cannot be read",
    }


def test_metrics_without_a_config_are_a_row_of_their_own(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(f"{HEAD}\n1,0.9,0.5,0.5,0.8,10,100\n")
    assert states(tmp_path) == {"a": "running: epoch 1", "b": "running: epoch 1"}


def test_two_runs_of_one_name_are_told_apart(tmp_path):
    for sweep in ("one", "two"):
        leave(tmp_path / sweep / "zfnet", lr=len(sweep) if sweep == "one" else 9, name="zfnet")
    leave(tmp_path / "one/7_zfnet", lr=7, name="zfnet")
    runs = read_sweep_runs([tmp_path / "one", tmp_path / "two"])
    assert sorted(group.name for group in runs.groups) == ["7_zfnet", "one/zfnet", "two/zfnet"]
    assert sorted(states(tmp_path)) == ["7_zfnet", "one/zfnet", "two/zfnet"]  # sweeps one level below


def test_the_tenth_run_comes_after_the_second(tmp_path):
    for number in (10, 2, 0):
        leave(tmp_path / f"{number}_run{number}", lr=number + 1)
    assert [group.name for group in read_sweep_runs([tmp_path]).groups] == ["0_run0", "2_run2", "10_run10"]


def test_nets_of_other_makers_are_told_apart_by_their_name(tmp_path):
    for name in ("resnet18", "vgg16"):
        run = leave(tmp_path / name)
        config = (run / ".hydra/config.yaml").read_text()
        (run / ".hydra/config.yaml").write_text(config.replace("rows", "timm").replace("name: zfnet", f"name: {name}"))
    assert len(read_sweep_runs([tmp_path]).groups) == 2


def test_folders_without_runs_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"sweep=.*nowhere is no folder; give a sweep's folder, e.g. outputs/sweep/"):
        read_sweep_runs([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no training run in .*empty; give a sweep's folder"):
        read_sweep_runs([tmp_path / "empty"])
    leave(tmp_path / "looks/occlusion", job="occlude", val=())
    with pytest.raises(UserError, match=r"no training run in .*looks \(looks/occlusion: a run of job=occlude\); give"):
        read_sweep_runs([tmp_path / "looks"])


ROWS = {
    "conv1": {"kind": "conv", "kernel": 7, "stride": 2},
    "conv2": {"kind": "conv", "kernel": 3, "stride": 1},
    "fc3": {"kind": "full", "units": "classes"},
}


def group(name, lr=0.1, seed=0, images_per_second=(), **rows):
    layers = {row: fields for row, fields in {**ROWS, **rows}.items() if fields is not None}
    metrics = {"images_per_second": list(images_per_second)}
    model = "\n".join(f"    {row}: {fields}" for row, fields in layers.items())
    config = f"seed: {seed}\nname: {name}\noptim: {{lr: {lr}}}\nmodel:\n  source: rows\n  layers:\n{model}\n"
    run = Run(None, [], metrics, {}, config, [], {}, [])
    return SeedGroup(name, [TrainingRun(run, seed, {}, 1, "finished")])


def test_the_settings_in_which_groups_differ_are_not_names_or_seeds():
    assert varied_settings([group("a"), group("b", seed=4)]) == [{}, {}]
    assert varied_settings([group("a"), group("b", lr=0.2)]) == [{"optim.lr": 0.1}, {"optim.lr": 0.2}]
    of_conv2 = {f"model.layers.conv2.{field}": value for field, value in ROWS["conv2"].items()}
    assert varied_settings([group("a"), group("b", conv2=None)]) == [of_conv2, dict.fromkeys(of_conv2)]


def test_images_a_second_are_a_mean_over_epochs():
    assert images_per_second(group("a", images_per_second=[100, None, 201])) == 150
    assert images_per_second(group("a")) is None
