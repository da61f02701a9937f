"""job=claims from end to end on a small run: what is measured, what stays open, and what it says of bad input."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import torchvision
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from convscope.analyses.claims.about import ClaimsConfig
from convscope.analyses.claims.compute import (
    CONVERGENCE,
    DEAD_FILTERS,
    DEPTH,
    PARTS,
    RENORMALIZATION,
    ROTATED_FEATURES,
    SCALE,
    SHIFT,
    STATEMENTS,
    judge,
    unmeasured,
)
from convscope.analyses.claims.job import bars, reasons, verdicts
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.metrics.intervals import Interval

CONF = Path(__file__).resolve().parents[3] / "conf"


def run(folder, *words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=["job=claims", "trainer.accelerator=cpu", *map(str, words)])
    settings = OmegaConf.to_container(config, resolve=True)
    JOBS["claims"](settings | {"words": list(words)}, folder)
    return folder


def table(folder, name="table"):
    with open(folder / f"tables/claims/{name}.csv", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def other_stride(trained, tmp_path_factory):
    """A sweep's folder with a copy of the run as if its first stride had been 4 and its last filters dead."""
    folder = tmp_path_factory.mktemp("sweep") / "0_stride_4"
    shutil.copytree(trained, folder)
    path = folder / ".hydra/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["model"]["layers"]["conv1"]["stride"] = 4
    path.write_text(yaml.safe_dump(settings))
    return folder.parent


@pytest.fixture(scope="module")
def tested(trained, other_stride, tmp_path_factory):
    """The folder of job=claims on the small run, against another stride."""
    folder = tmp_path_factory.mktemp("claims") / "run"
    return run(folder, f"run={trained}", "claims.scored=10", f"claims.against={other_stride}")


def test_every_claim_is_in_the_table_once(tested):
    rows = table(tested)
    assert [row["claim"] for row in rows] == [statement.claim for statement in STATEMENTS]
    assert {row["verdict"] for row in rows} <= {"holds", "does not hold", "not enough data"}
    assert [row["name"] for row in table(tested, "reasons")] == [statement.name for statement in STATEMENTS]


def test_what_cannot_be_said_of_two_epochs_stays_open(tested):
    why = {row["name"]: row["because"] for row in table(tested, "reasons")}
    verdict = {row["claim"]: row["verdict"] for row in table(tested)}
    for statement in (CONVERGENCE, RENORMALIZATION, DEPTH, DEAD_FILTERS):
        assert verdict[statement.claim] == "not enough data"
    assert "at 2 epochs" in why["settling"] and "experiment=first_layers" in why["renormalization"]
    assert "stride 2" in why["dead"] and "stride 4" in why["dead"]  # compared, but of too few filters
    assert "job=transfer" in why["deep"]


def test_measured_values_are_numbers_and_lie_in_their_intervals(tested):
    numbers = json.loads((tested / "summary.json").read_text())["numbers"]
    measured = [row for row in table(tested) if row["value"]]
    assert len(measured) == len([name for name in numbers if name.startswith("claims/")]) >= 6
    for row in measured:
        assert bool(row["interval"]) == (int(row["n"]) > 1)  # one case has none
        low, high = map(float, row["interval"].split(" to ")) if row["interval"] else (-math.inf, math.inf)
        assert low - 1e-3 <= float(row["value"]) <= high + 1e-3  # the ends have three digits


def test_the_picture_is_there(tested):
    lines = [json.loads(line) for line in (tested / "index.jsonl").read_text().splitlines()]
    (picture,) = [line for line in lines if line["kind"] == "picture"]
    assert picture["name"] == "claims/intervals" and (tested / picture["path"]).stat().st_size > 1000


def test_rows_say_what_was_measured_and_what_was_not():
    tested = [judge(CONVERGENCE, Interval(0.5, 0.25, 0.75, 40), "12 epochs"), unmeasured(DEPTH, "no table")]
    first, second = verdicts(tested).rows
    assert (first["verdict"], first["value"], first["interval"], first["n"]) == ("holds", 0.5, "0.250 to 0.750", 40)
    assert (second["verdict"], second["value"], second["interval"]) == ("not enough data", None, "")
    assert [row["because"] for row in reasons(tested).rows] == ["12 epochs", "no table"]
    assert [(bar.value, bar.size) for bar in bars(tested[:1])] == [(0.5, CONVERGENCE.size)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights of SqueezeNet, which are random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(torchvision.models.squeezenet1_0(num_classes=6).state_dict(), path)
    return path


@pytest.mark.slow
def test_a_pretrained_net_is_tested_without_a_training_run(tmp_path, weights):
    words = ["model=torchvision", "model.name=squeezenet1_0", f"model.weights={weights}", "data.image_size=64",
             "data.train=12", "data.val=12", "claims.scored=6"]  # fmt: skip
    folder = run(tmp_path / "run", *words)
    because = {row["name"]: row["because"] for row in table(folder, "reasons")}
    measured = {row["claim"] for row in table(folder) if row["value"]}
    unmeasured_names = {CONVERGENCE.name, DEAD_FILTERS.name, RENORMALIZATION.name}
    assert all("a pretrained net without its training run cannot tell" in because[name] for name in unmeasured_names)
    assert "no hidden layer above features.12" in because["parts_above"] and "job=transfer" in because["deep"]
    assert {SHIFT.claim, SCALE.claim, PARTS.claim, ROTATED_FEATURES.claim} <= measured
    assert len(table(folder)) == len(STATEMENTS)


def test_other_runs_are_compared_with_a_run(tmp_path, weights, trained):
    words = ["model=torchvision", "model.name=squeezenet1_0", f"model.weights={weights}"]
    with pytest.raises(UserError, match="claims.against=.* is compared with a training run; type run="):
        run(tmp_path / "run", *words, f"claims.against={trained.parent}")


@pytest.mark.parametrize("name", [None, "nowhere"])
def test_a_run_is_asked_for_by_name(tmp_path, name):
    words = [f"run={name}"] if name else []
    with pytest.raises(UserError, match="type run=outputs/train/<run>, the folder of a finished job=train") as error:
        run(tmp_path / "run", *words)
    assert "\n" not in str(error.value) and ("nowhere" in str(error.value)) == bool(name)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_told_before_anything_is_measured(tmp_path, trained):
    with pytest.raises(UserError, match=f"no training run in {tmp_path}/nowhere"):
        run(tmp_path / "run", f"run={trained}", f"claims.against={tmp_path}/nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scored": 1}, "claims.scored=1 is too small; it is 2 or more, e.g. claims.scored=100"),
        ({"boxes": "no.csv"}, "claims.boxes=no.csv is no file"),
        ({"parts": "no.csv"}, "claims.parts=no.csv is no file"),
    ],
)
def test_bad_plans(settings, message):
    with pytest.raises(UserError, match=message):
        ClaimsConfig(**settings)


def test_against_is_one_folder_or_several():
    assert ClaimsConfig(against="a").folders == [Path("a")]
    assert ClaimsConfig(against=["a", "b"]).folders == [Path("a"), Path("b")]
    assert ClaimsConfig().folders == []
