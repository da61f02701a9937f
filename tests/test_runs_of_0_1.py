"""Run folders of version 0.1 (tests/runs_of_0_1/README.md) go on to what that version made of them, and are read."""

import csv
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

import convscope as api
from conftest import ROOT, convscope
from convscope.analyses.claims.compute import STATEMENTS
from convscope.training.classifier import Classifier
from convscope.training.recipe import Recipe

pytestmark = pytest.mark.slow

RUNS = ROOT / "tests/runs_of_0_1"
SHARED = Path(os.environ.get("CONVSCOPE_DATA", "nowhere")) / "runs_of_0.1"
LAYERS = ["conv1", "conv5"]

# On the processor that made the runs all is equal bit for bit; other instructions for vectors change weights by 1e-7.
# An optimizer without its state, or images in another order, change them by more than 1e-3.
CLOSE = 1e-4
TIMES = ("seconds", "images_per_second")  # what no two runs have in common
# Version 0.1 counted images that do not excite a map, dead maps among these; now they count nowhere.
REDEFINED = "stayed/"
NEW_CALLBACKS = {"Sessions"}  # with state in checkpoints, since version 0.1
NEW_FACTS = {"input", "goal", "class_folders"}  # in the part "convscope" of checkpoints, since version 0.1


class Case(NamedTuple):
    """runs: where cut/ and whole/ lie. start: where the cut run stands, in the words that the program prints."""

    runs: Path
    start: str


class Resumed(NamedTuple):
    """A run that was cut off and has gone on, what the program printed meanwhile, and the runs that it was made of."""

    run: Path
    output: str
    case: Case

    @property
    def whole(self):
        return self.case.runs / "whole"


CASES = [
    pytest.param(Case(RUNS, "goes on after epoch 1 of 3 and 9 of 25 batches of the next"), id="tests"),
    pytest.param(
        Case(SHARED, "goes on after epoch 0 of 3 and 3 of 4 batches of the next"),
        id="shared",
        marks=pytest.mark.skipif(not SHARED.is_dir(), reason="set CONVSCOPE_DATA to the folder that holds runs_of_0.1"),
    ),
]


def copied(folder, place):
    """A copy that the program may write to."""
    shutil.copytree(folder, place)
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return place


@pytest.fixture(scope="module", params=CASES)
def resumed(request, tmp_path_factory, cache):
    """A copy of the cut run, gone on to its end in another folder."""
    case = request.param
    run = copied(case.runs / "cut", tmp_path_factory.mktemp("old") / "run")
    assert "_target_: convscope.app.sweeps." in (run / ".hydra/hydra.yaml").read_text()  # there is no such module now
    assert importlib.util.find_spec("convscope.app") is None
    ended = convscope("resume=run", f"data.cache_dir={cache}", "trainer.accelerator=cpu", cwd=run.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Resumed(run, ended.stdout + ended.stderr, case)


def checkpoint(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def tensors(state, path=""):
    """Path -> tensor or plain value of a nested state."""
    if not isinstance(state, dict | list | tuple):
        return {path: state}
    inside = state.items() if isinstance(state, dict) else enumerate(state)
    return {name: leaf for key, value in inside for name, leaf in tensors(value, f"{path}/{key}").items()}


def assert_close(state, expected):
    """Nested states with the same keys, tensors and floats within CLOSE, everything else equal."""
    leaves, expected_leaves = tensors(state), tensors(expected)
    assert leaves.keys() == expected_leaves.keys()
    for name, value in expected_leaves.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(leaves[name], value, atol=CLOSE, rtol=CLOSE, msg=lambda text, n=name: n + text)
        else:
            assert leaves[name] == (pytest.approx(value, abs=CLOSE) if isinstance(value, float) else value), name


def assert_same_images(record, expected):
    """Top-9 records by layer: scores are close, and every place of the record is equal whose score stands clear of
    those before and after it; the tenth is not known, so the ninth counts nowhere."""
    assert record.keys() == expected.keys()
    for layer in {name.rpartition(".")[0] for name in expected}:
        score = expected[f"{layer}.score"]
        assert torch.allclose(record[f"{layer}.score"], score, atol=CLOSE, rtol=CLOSE), layer
        gap = (score[:, :-1] - score[:, 1:]) > 2 * CLOSE * score.abs().amax()
        clear = gap & torch.cat([torch.ones_like(gap[:, :1]), gap[:, :-1]], dim=1)  # [C, 8]
        assert clear.float().mean() > 0.5, layer
        for field in ("image", "row", "col"):
            assert torch.equal(record[f"{layer}.{field}"][:, :8][clear], expected[f"{layer}.{field}"][:, :8][clear])


def metrics(folder):
    with open(folder / "metrics.csv", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def shares_that_stayed(folder, layer):
    """Epoch by epoch what metrics.csv says in stayed/<layer>, counted map by map from the records of the run."""
    shares, before = [], None
    for path in sorted((folder / "top9").glob("*.safetensors")):
        arrays = load_file(path)
        pairs = zip(arrays[f"{layer}.score"].tolist(), arrays[f"{layer}.image"].tolist(), strict=True)
        now = [{image for score, image in zip(*row, strict=True) if score > 0} for row in pairs]
        living = [number for number, images in enumerate(now) if images]
        each = [len(now[number] & before[number]) / len(now[number]) for number in living] if before else [0.0]
        shares.append(sum(each) / len(each))
        before = now
    return shares


def test_it_goes_on_where_it_stood(resumed):
    assert f"{resumed.run} {resumed.case.start}\n" in resumed.output
    assert "epoch 3/3" in resumed.output and "Traceback" not in resumed.output
    assert json.loads((resumed.run / "summary.json").read_text())["finished"] is True


def test_its_weights_and_optimizer_are_those_of_the_whole_run(resumed):
    state, expected = checkpoint(resumed.run), checkpoint(resumed.whole)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"):
        assert_close({part: state[part]}, {part: expected[part]})


def test_its_metrics_are_those_of_the_whole_run(resumed):
    rows, expected = metrics(resumed.run), metrics(resumed.whole)
    assert [list(row) for row in rows] == [list(row) for row in expected]  # columns, and their order
    for row, old in zip(rows, expected, strict=True):
        compared = [name for name in old if name not in TIMES and not name.startswith(REDEFINED)]
        assert len(compared) > 10
        assert {name: float(row[name]) for name in compared} == pytest.approx(
            {name: float(old[name]) for name in compared}, abs=CLOSE
        )
    for name in rows[0]:
        if name.startswith(REDEFINED):
            measured = [float(row[name]) for row in rows]
            assert measured == pytest.approx(shares_that_stayed(resumed.run, name.removeprefix(REDEFINED)), abs=1e-5)


def test_its_records_of_the_strongest_images_are_those_of_the_whole_run(resumed):
    records = {path.name for path in (resumed.whole / "top9").iterdir()}
    assert records == {path.name for path in (resumed.run / "top9").iterdir()} and len(records) == 3
    for name in records:
        assert_same_images(load_file(resumed.run / "top9" / name), load_file(resumed.whole / "top9" / name))


def test_its_checkpoint_has_the_keys_of_version_0_1(resumed):
    """The keys of callbacks are class names of version 0.1, whatever the classes are called now."""
    state, expected = checkpoint(resumed.run), checkpoint(resumed.whole)
    assert state.keys() == expected.keys()
    assert state["callbacks"].keys() == expected["callbacks"].keys() | NEW_CALLBACKS
    assert state["convscope"].keys() == expected["convscope"].keys() | NEW_FACTS
    for name, old in expected["callbacks"].items():
        assert state["callbacks"][name].keys() >= old.keys(), name
    best = next(name for name in expected["callbacks"] if name.startswith("BestCheckpoint"))
    assert_close(state["callbacks"][best], expected["callbacks"][best])
    assert_close(
        state["callbacks"]["FeatureEvolution"]["pictured"], expected["callbacks"]["FeatureEvolution"]["pictured"]
    )
    assert (resumed.run / "checkpoints/best.ckpt").is_file()


def test_names_within_an_unfinished_epoch_are_attributes_of_the_classifier():
    """Those that a single-label run writes, from the cut run, and those of a multilabel run."""
    recipe = Recipe("sgd", 0.1, 0.9, 0.0, 4, "constant", 0, 0.0, "normal", 0.01, (), None)
    held = dict(Classifier(torch.nn.Linear(2, 3), recipe, classes=3).named_modules())
    (running,) = checkpoint(RUNS / "cut")["running"]
    assert running.keys() == {"train_loss", "train_hits"}
    for name, (_, state) in running.items():
        assert held[name].metric_state.keys() == state.keys(), name
    assert held["train_precision"].metric_state.keys() == {"scores", "targets"}


def build_report(folder):
    shutil.rmtree(folder / "report", ignore_errors=True)
    ended = convscope("job=report", f"run={folder}", cwd=folder.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "report/index.html").is_file()


def page_data(folder):
    """What the page shows: the content of its data file, and those of its layers."""
    shown = json.loads((folder / "report/data.js").read_text().removeprefix("window.DATA = ").rstrip("; \n"))
    texts = {path.stem: path.read_text() for path in (folder / "report").glob("atlas/*.js")}
    return shown, {layer: json.loads(text.partition("] = ")[2].rstrip("; \n")) for layer, text in texts.items()}


def test_its_page_is_built_anew(resumed):
    """By job=report with pictures of version 0.1 alone; by the run that has gone on, with those of both."""
    cut = copied(resumed.case.runs / "cut", resumed.run.parent / "cut")
    build_report(cut)
    layers = list(checkpoint(resumed.whole)["callbacks"]["FeatureEvolution"]["previous"])
    for folder, epochs in ((cut, [1]), (resumed.run, [1, 2, 3])):
        shown, atlas = page_data(folder)
        assert shown["metrics"]["val/loss"] == [float(row["val/loss"]) for row in metrics(folder)]
        assert shown["atlas"]["epochs"] == epochs and atlas.keys() == set(layers)
        pictures = [sheet["source"] for sheet in shown["atlas"]["sheets"]]
        for layer in layers:
            frames = atlas[layer]["frames"]
            assert [frame["epoch"] for frame in frames] == epochs
            pictures += [frame["source"] for frame in frames]
        assert all((folder / "report" / picture).is_file() for picture in pictures)


def test_what_it_left_is_read(resumed):
    for folder in (resumed.case.runs / "cut", resumed.whole, resumed.run):
        read = api.read_run(folder)
        assert not read.remarks and read.choices["model"] == "zfnet" and read.summary["job"] == "train"
        assert read.settings["checkpoint"]["every_steps"] == 1 and "checkpoint.every_steps=1" in read.overrides
        assert read.metrics["epoch"] == [float(row["epoch"]) for row in metrics(folder)]
        assert [row["name"] for row in read.rows if row["kind"] == "conv"][0] == "conv1"


def test_its_net_sees_in_its_images_what_it_saw(resumed, cache):
    """The record of the last epoch, searched anew by the library in the net and the images of the checkpoint."""
    expected = load_file(resumed.whole / "top9/epoch_003.safetensors")
    subject = api.load(resumed.whole, cache_dir=str(cache))
    tops = api.top9(subject, sorted({name.rpartition(".")[0] for name in expected}))
    fields = {f"{layer}.{name}": field for layer, top in tops.items() for name, field in top._asdict().items()}
    assert_same_images(fields, expected)


def test_jobs_read_its_checkpoint_and_its_folder(cache, tmp_path):
    whole = copied(RUNS / "whole", tmp_path / "whole")
    words = [f"data.cache_dir={cache}", "trainer.accelerator=cpu"]
    shown = [f"evolution.layers=[{','.join(LAYERS)}]", "evolution.maps=1"]
    ended = convscope(
        "job=visualize", "ckpt=whole/checkpoints/last.ckpt", *shown, *words, "hydra.run.dir=features", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record = load_file(tmp_path / "features/top9/top9.safetensors")
    assert_same_images(record, load_file(whole / "top9/epoch_003.safetensors"))
    assert all((tmp_path / f"features/pictures/top9/{layer}.jpg").is_file() for layer in LAYERS)
    ended = convscope("job=claims", "run=whole", "claims.scored=10", *words, "hydra.run.dir=claims", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    with open(tmp_path / "claims/tables/claims/table.csv", encoding="utf-8") as lines:
        verdicts = {row["claim"]: row["verdict"] for row in csv.DictReader(lines)}
    assert list(verdicts) == [statement.claim for statement in STATEMENTS]
    assert {"holds", "does not hold"} & set(verdicts.values())  # some are judged, by what the run has left
    jobs = [json.loads(line)["job"] for line in (whole / "looked_at.jsonl").read_text().splitlines()]
    assert jobs == ["occlude", "visualize", "claims"]  # the first by version 0.1


def test_a_run_of_another_job_is_read_and_its_page_built_anew(tmp_path):
    run = copied(RUNS / "occlude", tmp_path / "occlude")
    read = api.read_run(run)
    assert not read.remarks and read.summary["finished"] is True
    numbers = {entry.name: entry.value for entry in read.entries if entry.kind == "number"}
    assert numbers == read.summary["numbers"] and len(numbers) == 6
    build_report(run)
    page = (run / "report/index.html").read_text()
    for entry in read.entries:
        if entry.kind == "table":
            header = (run / entry.path).read_text().partition("\n")[0].split(",")
            assert all(f">{name.replace('_', ' ')}<" in page or f">{name}<" in page for name in header), header
