"""job=table on a real sweep, from its settings to the run folder."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from conftest import convscope
from convscope.analyses.sweep_table.about import SweepTableConfig
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from report.sweeps import run

CONF = Path(__file__).resolve().parents[3] / "conf"
TINY = [
    "data.train=40", "data.val=20", "data.image_size=64", "model.width=0.05", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "evolution=off", "optim.batch_size=20",
]  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory, cache):
    """Two nets with two seeds each."""
    place = tmp_path_factory.mktemp("swept")
    words = ["-m", "model=replication,zfnet", "seed=0,1", *TINY, f"data.cache_dir={cache}", "hydra.sweep.dir=sweep"]
    ended = convscope(*words, cwd=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place / "sweep"


def collected(folder, *words):
    """Rows of the tables by name, the summary."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=["job=table", *map(str, words)])
    settings = OmegaConf.to_container(config, resolve=True)
    JOBS["table"](settings, folder)
    return {path.stem: read(path) for path in (folder / "tables/sweep").glob("*.csv")}


def runs_of(sweep):
    return sorted(path.parent for path in sweep.glob("*/metrics.csv"))


def read(path):
    return list(csv.DictReader(path.open()))


def test_two_nets_of_two_seeds_are_two_rows(swept, tmp_path):
    tables = collected(tmp_path, f"sweep={swept}")
    for row, net in zip(tables["runs"], ("replication", "zfnet"), strict=True):
        runs = [run for run in swept.iterdir() if run.name.endswith(net)]
        errors = [100 * (1 - json.loads((run / "summary.json").read_text())["final"]["val/top1"]) for run in runs]
        mean = sum(errors) / 2
        spread = abs(errors[0] - errors[1]) / 2**0.5  # sample standard deviation of two
        assert (row["run"], row["seeds"], row["state"]) == (net, "2", "finished")
        assert row["val top-1 error"] == f"{mean:.1f} ± {spread:.1f}"
    beside = tables["beside_paper"]
    assert [row["paper top-1"] for row in beside] == ["40.5", "38.4"]
    assert [row["M at full size"] for row in beside] == ["62.38", "62.36"]
    assert [row["against"] for row in tables["directions"]] == ["replication"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    same = tables["directions"][0]["same way"]
    numbers = {"yes": {"sweep/same_way": 1.0}, "no": {"sweep/same_way": 0.0}, "within chance": None}[same]
    assert summary["finished"] and summary.get("numbers") == numbers  # 20 images and two seeds hardly tell


def test_everything_is_written(swept, tmp_path):
    tables = collected(tmp_path, f"sweep={swept}")
    whole = read(tmp_path / "table.csv")
    for name in ("runs", "cost", "beside_paper"):
        for row, cells in zip(whole, tables[name], strict=True):
            assert cells.items() <= row.items()
    text = (tmp_path / "table.md").read_text()
    assert text.count("\n|") == 4 and "Not comparable: here data critters" in text
    assert "\\toprule" in (tmp_path / "table.tex").read_text()
    assert {"model.layers.conv1.kernel", "run"} <= set(read(tmp_path / "settings.csv")[0])
    assert (tmp_path / "pictures/sweep/val_top1.png").is_file()


def test_while_it_is_still_running(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "sweep")
    first, second, third, last = runs_of(tmp_path / "sweep")
    (first / "summary.json").unlink()
    for name in ("summary.json", "metrics.csv"):
        (second / name).unlink()
    failed = json.loads((third / "summary.json").read_text()) | {"finished": False, "problem": "the loss became nan"}
    (third / "summary.json").write_text(json.dumps(failed))
    (last / "metrics.csv").unlink()
    tables = collected(tmp_path / "out", f"sweep={tmp_path / 'sweep'}")
    states = [row["state"] for row in tables["runs"]]
    assert states[0] == "0 of 2 finished; seed 0 running: epoch 1 of 1; seed 1 running: epoch 0 of 1"
    assert states[1] == "1 of 2 finished; seed 0 failed: the loss became nan"
    assert tables["runs"][1]["val top-1 error"]  # from summary.json, without metrics.csv
    assert "directions" not in tables


def test_another_row_to_compare_with_and_several_folders(swept, tmp_path):
    folders = ",".join(map(str, runs_of(swept)))
    words = [f"sweep=[{folders}]", "table.base=zfnet", "table.paper=zf_table2", "table.epoch=best"]
    tables = collected(tmp_path, *words)
    assert [(row["run"], row["against"]) for row in tables["directions"]] == [("replication", "zfnet")]
    assert tables["directions"][0]["paper"] == "worse by 2.1"
    assert tables["beside_paper"][0]["paper's row"] == "replication of Krizhevsky, 1 net"
    assert "paper train" not in tables["beside_paper"][0]


def test_the_best_row_stands_first_and_is_a_number(tmp_path):
    for name, top1, state in (
        ("a", 0.5, "finished"),
        ("b", 0.75, "finished"),
        ("c", 0.9, "failed"),
        ("d", 0.7, "finished"),
    ):
        run(tmp_path / "sweep" / f"{name}_run", top1, state=state, name=name, lr=top1, momentum=0.9)
    out = tmp_path / "out"
    tables = collected(out, f"sweep={tmp_path}/sweep", "table.order=best")
    assert [row["run"] for row in tables["runs"]] == ["b", "d", "a", "c"] == [row["run"] for row in tables["cost"]]
    assert json.loads((out / "summary.json").read_text())["numbers"] == {"sweep/best": 0.75}
    captions = [entry.get("caption") for entry in map(json.loads, (out / "index.jsonl").read_text().splitlines())]
    assert "the best val/top1 of 4 rows: b, with lr 0.75" in captions
    assert [row["run"] for row in collected(tmp_path / "plain", f"sweep={tmp_path}/sweep")["runs"]] == list("abcd")
    with pytest.raises(UserError, match=r"table.order=worst is unknown; possible: paper, best"):
        collected(tmp_path / "other", f"sweep={tmp_path}/sweep", "table.order=worst")


def test_from_the_command_line(swept, tmp_path):
    ended = convscope("job=table", f"sweep={swept}", "hydra.run.dir=out", cwd=tmp_path)
    assert ended.returncode == 0 and "4 of 4 runs have finished" in ended.stdout, ended.stderr
    page = (tmp_path / "out/report/index.html").read_text()
    assert "The runs of a sweep beside one another" in page and "<code>sweep</code>, one beside the other" in page
    assert "zfnet · critters" not in page  # conf's defaults, which no run of the sweep need have


@pytest.mark.parametrize(
    "words, message",
    [
        ([], r"job=table collects runs; type sweep=<a sweep's folder>"),
        (["sweep=nowhere"], r"sweep=nowhere is no folder"),
        (["sweep=.", "table.paper=zf_table9"], r"no table 'zf_table9' of a paper is known; possible: zf_table1"),
        (["sweep=.", "table.epoch=first"], r"table.epoch=first is unknown; possible: last, best"),
    ],
)
def test_what_cannot_be_collected_is_told(words, message, tmp_path):
    with pytest.raises(UserError, match=message):
        collected(tmp_path, *words)


def test_a_base_that_is_no_row(swept, tmp_path):
    with pytest.raises(UserError, match=r"table.base=vgg is no row; possible: replication, zfnet"):
        collected(tmp_path, f"sweep={swept}", "table.base=vgg")
    assert SweepTableConfig() == SweepTableConfig(**yaml.safe_load((CONF / "job/table.yaml").read_text())["table"])


@pytest.fixture(scope="module")
def ensemble(swept, tmp_path_factory):
    """The two seeds of zfnet, evaluated together and each alone."""
    nets = [run / "checkpoints/last.ckpt" for run in runs_of(swept) if run.name.endswith("zfnet")]
    folder = tmp_path_factory.mktemp("ensemble") / "two"
    words = ["job=evaluate", f"ckpt=[{nets[0]},{nets[1]}]", "evaluate.crops=ten", "trainer.accelerator=cpu"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    JOBS["evaluate"](settings | {"words": words}, folder)
    return folder


def test_ensembles_stand_among_the_others(swept, ensemble, tmp_path):
    tables = collected(tmp_path, f"sweep=[{swept},{ensemble}]", "table.paper=zf_table2")
    assert [(row["run"], row["nets"], row["seeds"]) for row in tables["runs"]] == [
        ("replication", "1", "2"), ("zfnet", "1", "2"), ("zfnet, ten crops", "1", "2"),
        ("2 x zfnet, ten crops", "2", "1"),
    ]  # fmt: skip
    numbers = json.loads((ensemble / "summary.json").read_text())["numbers"]
    together = tables["runs"][3]
    assert float(together["val top-1 error"]) == round(100 * (1 - numbers["evaluation/top1/ensemble"]), 1)
    low, high = map(float, together["val top-1 error 95 %"].split(" to "))
    assert low < float(together["val top-1 error"]) < high
    alone = [100 * (1 - value) for name, value in numbers.items() if "/top1/" in name and "ensemble" not in name]
    spread = abs(alone[0] - alone[1]) / 2**0.5
    assert tables["runs"][2]["val top-1 error"] == f"{sum(alone) / 2:.1f} ± {spread:.1f}"
    beside = tables["beside_paper"]
    assert [row["paper's row"] for row in beside[1:]] == ["as Fig. 3, 1 net"] * 2 + ["as Fig. 3, 5 nets (a)"]
    assert [row["paper top-1"] for row in beside] == ["40.5", "38.4", "38.4", "36.7"]
    members = tables["members"]
    assert [row["seed"] for row in members] == ["0", "1"] and all(Path(row["run"]).parent == swept for row in members)
    assert len(read(tmp_path / "table.csv")) == 4


def test_the_table_of_an_ensemble_is_found_without_asking(swept, ensemble, tmp_path):
    (run, *_) = [run for run in runs_of(swept) if run.name.endswith("zfnet")]
    assert "Table 2" in captions(collected, tmp_path, f"sweep=[{run},{ensemble}]")


def captions(collect, folder, *words):
    collect(folder, *words)
    lines = map(json.loads, (folder / "index.jsonl").read_text().splitlines())
    return next(line["caption"] for line in lines if line["name"] == "sweep/beside_paper")


def damaged(ensemble, place, kind):
    folder = place / kind
    shutil.copytree(ensemble, folder)
    (folder / "about.json").unlink()
    summary = json.loads((folder / "summary.json").read_text())
    match kind:
        case "unfinished":
            summary["finished"] = False
        case "older":
            del summary["evaluated"]
        case "train":
            summary["evaluated"]["split"] = "train"
        case "cut":
            path = folder / "tables/evaluation/table.csv"
            path.write_text(path.read_text()[:-20])
        case "absent":
            (folder / "tables/evaluation/table.csv").unlink()
        case "half":
            del summary["evaluated"]["crops"]
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.mark.parametrize(
    "kind, why",
    [
        ("unfinished", "the evaluation has not finished"),
        ("older", "it does not say which nets it took"),
        ("half", "it does not say which nets it took"),
        ("train", "it evaluated images of train"),
        ("cut", "has no whole row of ensemble"),
        ("absent", "has no whole row of "),
    ],
)
def test_half_written_evaluations_are_left_out(kind, why, swept, ensemble, tmp_path):
    folder = damaged(ensemble, tmp_path, kind)
    tables = collected(tmp_path / "out", f"sweep=[{swept},{folder}]")
    assert len(tables["runs"]) == 2 and "nets" not in tables["runs"][0]
    (left,) = [row for row in tables["left_out"] if row["folder"].endswith(kind)]
    assert why in left["left out because"]


def test_an_evaluation_again_is_no_row_or_told_apart(swept, ensemble, tmp_path):
    again = shutil.copytree(ensemble, tmp_path / "again")
    words = f"sweep=[{swept},{ensemble},{again}]"
    assert len(collected(tmp_path / "same", words)["runs"]) == 4
    path = again / "tables/evaluation/table.csv"
    *above, last = path.read_text().splitlines()
    cells = last.split(",")
    path.write_text("\n".join([*above, ",".join([*cells[:5], "1.5", *cells[6:]])]) + "\n")
    tables = collected(tmp_path / "other", words)
    names = [row["run"] for row in tables["runs"]]
    assert len(names) == 5 and {"2 x zfnet, ten crops", "2 x zfnet, ten crops (again)"} <= set(names)
    assert [row["val top-1 error"] for row in tables["runs"] if "(again)" in row["run"]] == ["1.5"]


def test_an_evaluation_alone_is_no_sweep(ensemble, tmp_path):
    with pytest.raises(UserError, match=r"no training run in .*two: a run of job=evaluate"):
        collected(tmp_path, f"sweep={ensemble}")
