"""The rows of a sweep's page, from folders in every state."""

import itertools
import json
import re
import statistics

import pytest
import yaml

from convscope.report import header
from convscope.report.run_table import MAX_SETTINGS, run_tables
from convscope.report.sweep import write_sweep_page
from convscope.runs.reading import read_run
from convscope.runs.sweep_runs import read_sweep_runs
from report.sweeps import run, with_page


def tables_of(folder):
    return run_tables(read_sweep_runs([folder]).groups, folder)


def table(columns, rows):
    return [dict(zip([column.key for column in columns], row, strict=True)) for row in rows]


def texts(columns, rows):
    return [{key: cell.text for key, cell in row.items()} for row in table(columns, rows)]


def test_only_what_differs_is_a_column(tmp_path):
    run(tmp_path / "0_a", 0.5, renorm=0.1)
    run(tmp_path / "1_b", 0.25, renorm=None, lr=0.1)
    tables = tables_of(tmp_path)
    assert [column.key for column in tables.columns] == [
        "optim.renorm", "val/top1", "val/top5", "val/loss", "state", "epochs", "time",
    ]  # fmt: skip
    first, second = texts(tables.columns, [row.cells for row in tables.rows])
    assert first == {"val/top1": "50.0 %", "val/top5": "90.0 %", "val/loss": "1.000", "state": "finished",
                     "optim.renorm": "0.1", "epochs": "2", "time": "1 min 0 s"}  # fmt: skip
    assert (second["val/top1"], second["val/loss"], second["optim.renorm"]) == ("25.0 %", "1.500", "none")
    orders = [cell.order for cell in tables.rows[0].cells]
    assert [float(orders[place]) for place in (0, 1, 3, 6)] == [0.1, 0.5, 1.0, 60.0]


def test_nets_of_several_classes_an_image_are_ranked_by_average_precision_first(tmp_path):
    for name, value in (("0_a", 0.5), ("1_b", None)):
        path = run(tmp_path / name, 0.5, renorm=value) / "metrics.csv"
        header, *rows = path.read_text().splitlines()
        if value:
            path.write_text("\n".join([f"{header},val/mean_ap", *(f"{row},0.42" for row in rows)]) + "\n")
    tables = tables_of(tmp_path)
    assert [column.key for column in tables.columns][1:3] == ["val/mean_ap", "val/top1"]
    assert [row.cells[1].text for row in tables.rows] == ["42.0 %", "–"]
    assert {column.key: column.first for column in tables.columns}["val/mean_ap"] == "descending"


def test_the_best_run_is_that_of_the_best_epoch_of_all(tmp_path):
    run(tmp_path / "0_a", 0.5, name="a", renorm=0.1)
    with_page(run(tmp_path / "1_b", 0.25, name="b", renorm=None))
    path = tmp_path / "1_b" / "metrics.csv"
    path.write_text(path.read_text().replace(",0.125,", ",0.75,"))  # its first epoch, in val/top1
    best = tables_of(tmp_path).best
    assert (best.row.name, best.measure, best.value, best.epoch) == ("b", "val accuracy, top-1", "75.0 %", 1)
    assert best.words == "renorm none"
    words = write_sweep_page(tmp_path).read_text()
    assert (
        '<a href="../1_b/report/index.html">b</a>, val accuracy, top-1 75.0 % after epoch 1 (renorm none)</p>' in words
    )
    for mode, expected in (("min", ("a", "1.000")), ("max", ("b", "1.750"))):
        for name in ("0_a", "1_b"):
            summary = tmp_path / name / "summary.json"
            summary.write_text(
                json.dumps(json.loads(summary.read_text()) | {"goal": {"metric": "val/loss", "mode": mode}})
            )
        best = tables_of(tmp_path).best
        assert (best.row.name, best.value) == expected
    (tmp_path / "0_a" / "summary.json").unlink()  # its goal is not known to be the same
    assert tables_of(tmp_path).best is None


def test_a_single_run_and_runs_without_numbers_have_no_best(tmp_path):
    run(tmp_path / "0_a", 0.5)
    assert tables_of(tmp_path).best is None
    run(tmp_path / "1_b", 0.5, renorm=1)
    for name in ("0_a", "1_b"):
        (tmp_path / name / "metrics.csv").unlink()
    assert tables_of(tmp_path).best is None


def test_of_many_settings_a_few_words_stand_for_all(tmp_path):
    keys = [f"key{number}" for number in range(MAX_SETTINGS + 1)]
    for number in range(3):
        run(tmp_path / f"{number}_run", **dict.fromkeys(keys, number))
    tables = tables_of(tmp_path)
    assert sum(column.more for column in tables.columns) == MAX_SETTINGS + 1
    assert [column.key for column in tables.columns if not column.more][0] == "differs"
    for row in tables.rows:
        assert [cell.more for cell in row.cells] == [column.more for column in tables.columns]


def test_seeds_are_rows_of_their_own_and_one_row_of_means(tmp_path):
    tops = [0.5, 0.6, 0.75]
    for seed, top1 in enumerate(tops):
        run(tmp_path / f"{seed}_zfnet", top1, seed=seed, name="zfnet")
    run(tmp_path / "3_cut", 0.9, seed=3, epochs=1, wanted=2, state="running")
    tables = tables_of(tmp_path)
    assert [row.name for row in tables.rows] == [f"zfnet, seed {seed}" for seed in range(4)]
    assert [row.state for row in tables.rows] == ["finished"] * 3 + ["running"]
    (means,) = texts(tables.seed_columns, tables.seed_rows)
    mean, deviation = statistics.mean(tops), statistics.stdev(tops)
    assert means["val/top1"] == f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    assert means["val/loss"] == f"{2 * (1 - mean):.3f} ± {2 * deviation:.3f}"
    assert (means["seeds"], means["state"]) == ("3", "3 of 4 finished; seed 3 running: epoch 1 of 2")
    assert "seed" in [column.key for column in tables.columns]
    assert re.fullmatch(r"seed \d", tables.best.words)


def test_runs_without_another_seed_have_no_table_of_seeds(tmp_path):
    run(tmp_path / "0_a", lr=1)
    run(tmp_path / "1_b", lr=2)
    assert tables_of(tmp_path).seed_rows == [] == tables_of(tmp_path).seed_columns


def test_states_tell_the_reason(tmp_path):
    run(tmp_path / "0_a", lr=1, state="failed", problem="the loss became nan in epoch 2")
    run(tmp_path / "1_b", lr=2, state="failed")
    run(tmp_path / "2_c", lr=3, epochs=1, wanted=4, state="running")
    tables = tables_of(tmp_path)
    states = [row["state"] for row in table(tables.columns, [row.cells for row in tables.rows])]
    assert [state.text for state in states] == [
        "failed: the loss became nan in epoch 2", "cut off: epoch 2 of 2", "running: epoch 1 of 4",
    ]  # fmt: skip
    assert [state.form for state in states] == ["failed", "cut-off", "running"]


def test_a_run_of_nothing_but_its_settings_has_empty_cells_that_sort_last(tmp_path):
    run(tmp_path / "0_a", lr=1)
    (run(tmp_path / "1_b", lr=2, state="running") / "metrics.csv").write_text("epoch,val/to")
    (new,) = [row for row in tables_of(tmp_path).rows if row.key == "1_b"]
    assert [cell.order for cell in new.cells[1:4]] == ["", "", ""]  # behind the setting
    assert new.spark == ""
    assert new.cells[1].text == "–"


@pytest.mark.parametrize("damage", ["nan", "inf", ""])
def test_numbers_that_are_not_finite_are_none(tmp_path, damage):
    text = (run(tmp_path / "0_a") / "metrics.csv").read_text()
    (tmp_path / "0_a" / "metrics.csv").write_text(re.sub(r"\n2,[^,]*,[^,]*", f"\n2,{damage},{damage}", text))
    (row,) = tables_of(tmp_path).rows
    assert [cell.text for cell in row.cells[:3]] == ["–", "90.0 %", "–"]


def test_a_page_is_linked_only_where_it_is(tmp_path):
    with_page(run(tmp_path / "0_50% #1", lr=1))
    run(tmp_path / "1_b", lr=2)
    assert [row.page for row in tables_of(tmp_path).rows] == ["../0_50%25%20%231/report/index.html", None]


def test_small_curves_share_their_scales(tmp_path):
    run(tmp_path / "0_a", 0.8, lr=1, epochs=5)
    run(tmp_path / "1_b", 0.4, lr=2, epochs=3)
    curves = [[tuple(map(float, point.split(","))) for point in row.spark.split()] for row in tables_of(tmp_path).rows]
    (x, y), (half_x, half_y) = curves[0][-1], curves[1][-1]
    assert (x, y) == (94, 2)
    assert half_x == pytest.approx(48) and half_y == pytest.approx(12)  # the third of five epochs, half as high
    assert all(0 <= x <= 96 and 0 <= y <= 24 for curve in curves for x, y in curve)


def test_runs_of_one_name_are_called_by_what_differs(tmp_path):
    """As it was typed; where the settings are those of several seeds, with the seed."""
    for number, (renorm, seed) in enumerate([(0.1, 0), (0.1, 1), (None, 0)]):
        run(tmp_path / f"{number}_zfnet", 0.5, renorm=renorm, seed=seed, name="zfnet")
    tables = tables_of(tmp_path)
    assert [row.name for row in tables.rows] == ["renorm=0.1 seed=0", "renorm=0.1 seed=1", "renorm=none seed=0"]
    assert [row[0].text for row in tables.seed_rows] == ["renorm=0.1", "renorm=none"]


@pytest.mark.parametrize(
    ("template", "renorms", "seeds", "names"),
    [
        ("${model.name}", [0.1, None], [0, 1], ["renorm=0.1 seed=0", "renorm=0.1 seed=1", "renorm=none seed=0",
                                               "renorm=none seed=1"]),
        ("${model.name}", [0.1, 0.25], [3], ["renorm=0.1", "renorm=0.25"]),
        ("${model.name}", [0.1], [0, 1], ["zfnet, seed 0", "zfnet, seed 1"]),
        ("r_${optim.renorm}", [0.1, 0.2], [0], ["r_0.1", "r_0.2"]),
        ("r_${optim.renorm}", [0.1, 0.2], [0, 1], ["r_0.1, seed 0", "r_0.1, seed 1", "r_0.2, seed 0", "r_0.2, seed 1"]),
    ],
)  # fmt: skip
def test_a_run_has_the_same_name_on_its_page_and_on_that_of_the_sweep(tmp_path, template, renorms, seeds, names):
    """The page of the first run, too, which is written when the sweep has no other."""
    fixed = ["data.root='/a b'", "model=zfnet"]
    shown = []
    for renorm, seed in itertools.product(renorms, seeds):
        name = "zfnet" if "model" in template else f"r_{renorm}"
        folder = run(tmp_path / f"{len(shown)}_zfnet", 0.5, renorm=renorm, seed=seed, name=name)
        config = (folder / ".hydra/config.yaml").read_text()
        (folder / ".hydra/config.yaml").write_text(config.replace("${model.name}", template))
        own = [f"optim.renorm={'null' if renorm is None else renorm}", f"seed={seed}"]
        (folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump([*fixed, *own]))
        values = ",".join("null" if value is None else str(value) for value in renorms)
        typed = {"overrides": {"task": ['data.root="/a b"', "model=zfnet", f"seed={','.join(map(str, seeds))}"]}}
        typed["sweeper"] = {"params": {"optim.renorm": values}}
        (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": typed}))
        shown.append(header.title(read_run(folder)))
    assert shown == names == [row.name for row in tables_of(tmp_path).rows]


def test_without_the_command_of_its_sweep_a_run_is_called_by_its_folder(tmp_path):
    folder = run(tmp_path / "a/0_zfnet", lr=1)
    for text in ("", "hydra: [", "hydra: {overrides: {task: 3}, sweeper: {params: 4}}"):
        (tmp_path / "multirun.yaml").write_text(text)
        assert header.title(read_run(folder)) == "a/0_zfnet"
