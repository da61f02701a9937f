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
from convscope.commands import JOBS
from convscope.jobs.table import Collect
from convscope.problem import Problem

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
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
        assert row["val top-1"] == f"{mean:.1f} ± {spread:.1f}"
    beside = tables["beside_paper"]
    assert [row["paper top-1"] for row in beside] == ["40.5", "38.4"]
    assert [row["M at full size"] for row in beside] == ["62.38", "62.36"]
    assert [row["against"] for row in tables["directions"]] == ["replication"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    agrees = tables["directions"][0]["same way"] == "yes"
    assert summary["finished"] and summary["numbers"] == {"sweep/same_way": float(agrees)}


def test_everything_is_written(swept, tmp_path):
    tables = collected(tmp_path, f"sweep={swept}")
    whole = read(tmp_path / "table.csv")
    for name in ("runs", "cost", "beside_paper"):
        for row, own in zip(whole, tables[name], strict=True):
            assert own.items() <= row.items()
    text = (tmp_path / "table.md").read_text()
    assert text.count("\n|") == 4 and "Not comparable: here data critters" in text
    assert "\\toprule" in (tmp_path / "table.tex").read_text()
    assert {"model.layers.conv1.kernel", "run"} <= set(read(tmp_path / "settings.csv")[0])
    assert (tmp_path / "pictures/sweep/val_top1.png").is_file()


def test_while_it_is_still_running(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "sweep")
    first, second, third, last = sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
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
    assert tables["runs"][1]["val top-1"]  # from summary.json, without metrics.csv
    assert "directions" not in tables


def test_another_row_to_compare_with_and_several_folders(swept, tmp_path):
    folders = ",".join(str(path) for path in sorted(swept.iterdir()) if path.is_dir())
    words = [f"sweep=[{folders}]", "table.base=zfnet", "table.paper=zf_table2", "table.epoch=best"]
    tables = collected(tmp_path, *words)
    assert [(row["run"], row["against"]) for row in tables["directions"]] == [("replication", "zfnet")]
    assert tables["directions"][0]["paper"] == "worse by 2.1"
    assert tables["beside_paper"][0]["paper's row"] == "replication of Krizhevsky, 1 net"
    assert "paper train" not in tables["beside_paper"][0]


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
    with pytest.raises(Problem, match=message):
        collected(tmp_path, *words)


def test_a_base_that_is_no_row(swept, tmp_path):
    with pytest.raises(Problem, match=r"table.base=vgg is no row; possible: replication, zfnet"):
        collected(tmp_path, f"sweep={swept}", "table.base=vgg")
    assert Collect() == Collect(**yaml.safe_load((CONF / "job/table.yaml").read_text())["table"])
