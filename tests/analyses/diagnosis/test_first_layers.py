"""A sweep of first layers, as a user starts it, and its comparison by hand."""

import csv
import json
import re

import pytest

from conftest import convscope
from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.job import _renorm, compare
from convscope.errors import UserError
from convscope.runs.reading import read_run

PLAN = DiagnosisConfig(images=12, split="val", radius=0.1, maps=8)
TINY = [
    "data.train=40", "data.val=20", "data.image_size=96", "model.width=0.1", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "evolution=off", "optim.batch_size=20",
]  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory, cache):
    """The four runs, of which the two with far too large a step fail, and what the program said."""
    place = tmp_path_factory.mktemp("swept")
    ended = convscope(
        "experiment=first_layers", *TINY, f"data.cache_dir={cache}", "optim.renorm=0.1", "optim.lr=0.001,1e30",
        "hydra.sweep.dir=sweep", cwd=place,
    )  # fmt: skip
    return place / "sweep", ended


def table(folder, name):
    return list(csv.DictReader((folder / f"tables/diagnosis/{name}.csv").open()))


def test_the_sweep_ends_with_a_comparison_of_the_runs_that_finished(swept):
    folder, ended = swept
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    rows = table(folder / "comparison", "runs")
    assert [row["first layer"] for row in rows] == ["11x11 stride 4", "7x7 stride 2"]
    assert {row["filters"] for row in rows} == {"never at 0.1"}  # one epoch of a few steps
    assert all(0 <= float(row["val accuracy"]) <= 1 for row in rows)
    assert all(re.fullmatch(r"\d+ of 8", row["dead conv 1"]) for row in rows)
    assert "The 2 runs of sweep" in ended.stdout
    for name in ("filters_common_scale", "filters_own_scale", "frequencies"):
        assert (folder / f"comparison/pictures/diagnosis/runs_{name}.png").is_file()
    assert (folder / "comparison/pictures/diagnosis/runs_second_layer.jpg").is_file()
    assert json.loads((folder / "comparison/summary.json").read_text())["finished"]
    page = (folder / "comparison/report/index.html").read_text()
    assert "Looks at <b>the runs</b>" in page and "untrained" not in page


def test_runs_that_failed_are_named_with_their_reason(swept):
    left_out = table(swept[0] / "comparison", "left_out")
    assert [row["run"] for row in left_out] == ["1_11x11_stride_4_renorm_0.1", "3_7x7_stride_2_renorm_0.1"]
    assert all("the loss became" in row["left out because"] for row in left_out)


def test_the_comparison_by_hand_finds_the_same(swept, tmp_path):
    again = convscope("job=diagnose", f"diagnose.runs={swept[0]}", "hydra.run.dir=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert table(tmp_path / "again", "runs") == table(swept[0] / "comparison", "runs")
    numbers = json.loads((tmp_path / "again/summary.json").read_text())["numbers"]
    assert "diagnosis/0_11x11_stride_4_renorm_0.1/mid" in numbers


@pytest.mark.parametrize(
    ("radius", "columns", "expected"),
    [
        ("null", {}, "free"),
        (0.1, {"conv1": [0, 0.5], "conv2": [0, 0]}, "held at 0.1"),
        (0.1, {"conv1": [0, 0], "conv2": [0, 1]}, "held at 0.1, conv1 never"),
        (0.1, {"conv1": [0, 0], "conv2": [0, 0]}, "never at 0.1"),  # the same run as one that is free
        (0.1, {}, "held at 0.1"),  # nothing is known
    ],
)
def test_filters_are_held_only_where_one_came_to_the_radius(tmp_path, radius, columns, expected):
    (tmp_path / ".hydra").mkdir()
    rows = "{conv1: {kind: conv}, conv2: {kind: conv}}"
    (tmp_path / ".hydra/config.yaml").write_text(f"optim: {{renorm: {radius}}}\nmodel: {{layers: {rows}}}\n")
    lines = [["epoch", *(f"renorm/{layer}" for layer in columns)], *zip((1, 2), *columns.values(), strict=True)]
    (tmp_path / "metrics.csv").write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n")
    assert _renorm(read_run(tmp_path)) == expected


def test_folders_without_runs_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere is no folder; give that of a sweep, e.g. outputs/sweep/<sweep>"):
        list(compare(tmp_path / "nowhere", lambda ckpt: pytest.fail(), PLAN, 0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no training runs; give a sweep's folder"):
        list(compare(tmp_path / "empty", lambda ckpt: pytest.fail(), PLAN, 0))


def test_a_sweep_of_which_nothing_is_left_is_refused(tmp_path):
    (tmp_path / "0_a").mkdir()
    (tmp_path / "0_a/summary.json").write_text('{"job": "train", "finished": false, "problem": "the loss became nan"}')
    results = compare(tmp_path, lambda ckpt: pytest.fail(), PLAN, 0)
    assert next(results).rows == [{"run": "0_a", "left out because": "the loss became nan"}]
    with pytest.raises(UserError, match=r"no run of .* can be compared; 0_a: the loss became nan"):
        next(results)
