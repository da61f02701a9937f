"""Training runs in folders, the best epoch of a run by its goal, and whether it has learned."""

import json

import pytest
import yaml

from convscope.errors import UserError
from convscope.runs.reading import read_run
from convscope.runs.training_runs import find_training_runs, has_learned, read_training_run

ROWS = "epoch,val/top1,val/mean_ap\n1,0.9,0.20\n2,0.7,0.30\n3,0.8,0.30\n4,0.6,nan\n"
MEAN_AP = {"metric": "val/mean_ap", "label": "mean AP", "mode": "max", "chance": 0.1}


def run(folder, goal):
    (folder / "metrics.csv").write_text(ROWS)
    summary = {"classes": ["a", "b"], "finished": True, **({"goal": goal} if goal else {})}
    (folder / "summary.json").write_text(json.dumps(summary))
    return read_run(folder)


@pytest.mark.parametrize(
    ("goal", "best"),
    [
        (MEAN_AP, 2),
        ({**MEAN_AP, "metric": "val/top1"}, 1),
        (None, 1),  # version 0.1
        ({**MEAN_AP, "metric": "val/top1", "mode": "min"}, 4),
        ({**MEAN_AP, "metric": "val/unknown"}, 4),  # none is: the last
        ("damaged", 1),
    ],
)
def test_the_best_epoch(goal, best, tmp_path):
    assert read_training_run(run(tmp_path, goal), "best").values["epoch"] == best
    assert read_training_run(run(tmp_path, goal)).values["epoch"] == 4


def test_whether_it_learned_is_by_its_own_chance(tmp_path):
    """The last mean AP is .30, the last top-1 .6."""
    assert has_learned(run(tmp_path, {**MEAN_AP, "chance": 0.19}))
    assert not has_learned(run(tmp_path, {**MEAN_AP, "chance": 0.21}))
    first = run(tmp_path, None)  # two classes, version 0.1; of images of several classes it did not say what chance is
    assert has_learned(first) and not has_learned(first._replace(metrics={"val/top1": first.metrics["val/top1"]}))
    assert has_learned(run(tmp_path, {**MEAN_AP, "metric": "val/top1", "chance": 0.39}))
    for damaged in ({**MEAN_AP, "chance": "?"}, {"metric": ["val/top1"]}):
        assert has_learned(run(tmp_path, damaged))


def test_where_most_images_are_of_one_class_the_loss_says_whether_it_learned(tmp_path):
    """Always the class of 80 % of the images: no accuracy is half as much again as that."""
    goal = {**MEAN_AP, "metric": "val/top1", "chance": 0.8, "chance_loss": 0.5}
    for loss, learned in ((0.05, True), (0.5, False)):
        trained = run(tmp_path, goal)
        assert has_learned(trained._replace(metrics={"val/top1": [0.8, 0.99], "val/loss": [0.6, loss]})) == learned


def job_folder(folder, job="train"):
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(yaml.safe_dump({"job": job}))
    return folder


def test_a_sweeps_folder_stands_for_its_training_runs(tmp_path):
    for name, job in (("0_a", "train"), ("1_b", "train"), ("2_c", "report")):
        job_folder(tmp_path / "sweep" / name, job)
    (tmp_path / "sweep/.submitit").mkdir()
    single = job_folder(tmp_path / "single")
    runs = find_training_runs([tmp_path / "sweep", single])
    assert [run.folder.name for run in runs] == ["0_a", "1_b", "single"]


def test_a_folder_without_runs_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=f"no training run in {folder}; give the folder of a run"):
            find_training_runs([folder])
