"""Files and names made to harm: refused in one line, shown as text, never run; and no secret in what a run leaves."""

import ast
import csv
import io
import json
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import ROOT, SMALL, convscope
from convscope.analyses.claims.compute.histories import top9_records
from convscope.cli.preparation import check_description
from convscope.errors import UserError
from convscope.loggers.projection_table import projection_rows
from convscope.models.checkpoints import read_checkpoint
from convscope.runs.number_format import csv_table, spreadsheet_safe
from convscope.runs.record import Record, Table

NAMES = [
    "<script>alert(1)</script>", "=HYPERLINK(1)", "..", "-1+1", "@sum", "ünï cødé 🦊", "a\nb", "x" * 300, "a/b", "a\\b",
]  # fmt: skip
SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf_QwErTyUiOpAsDfGhJkLzXcVbNm",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


class Code:
    """Unpickled without care it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def refusal(path):
    with pytest.raises(UserError) as problem:
        read_checkpoint(path)
    assert "\n" not in str(problem.value) and str(path) in str(problem.value)
    return str(problem.value)


def changed(trained, path, **about):
    """The run's checkpoint with other words about its net."""
    held = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    net = {**held["convscope"]["net"], **about.pop("net", {})}
    torch.save({**held, "convscope": {**held["convscope"], "net": net, **about}}, path)
    return path


@pytest.mark.parametrize("write", [torch.save, lambda held, path: path.write_bytes(pickle.dumps(held, 2))])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(write, tmp_path):
    write({"state_dict": {}, "convscope": {}, "more": Code(tmp_path / "ran")}, tmp_path / "net.ckpt")
    assert "cannot be read as a checkpoint" in refusal(tmp_path / "net.ckpt")
    assert not (tmp_path / "ran").exists()


def test_nothing_else_reads_pickles():
    """Every load of the program says weights_only=True; numpy's refuses pickles by itself."""
    calls = [
        line for path in (ROOT / "src").rglob("*.py") for line in path.read_text().splitlines() if "torch.load(" in line
    ]
    assert calls and all("weights_only=True" in line for line in calls)
    text = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for word in ("pickle.load", "allow_pickle", "load_from_checkpoint", "hydra.utils", "yaml.unsafe", "FullLoader"):
        assert word not in text
    fits = [node for node in calls_in_source() if ast.unparse(node.func) == "trainer.fit"]
    assert fits and all("weights_only=True" in map(ast.unparse, node.keywords) for node in fits)


def calls_in_source():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py")]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


HUGE = {"kind": "conv", "maps": 10**9, "kernel": 3}
LIES = [
    ({"net": {"layers": {"conv1": HUGE, "fc": {"kind": "full", "units": "classes"}}}}, "describes a net of .* holds"),
    ({"net": {"layers": 3}}, "model.layers=3 are no rows"),
    ({"net": {"image_size": 10**9}}, "a net for images of 1000000000 pixels"),
    ({"net": {"image_size": "64"}}, "a net for images of '64' pixels"),
    ({"net": {"classes": -1}}, "a net of -1 classes"),
    ({"class_names": [1, 2]}, "names of classes that are no names"),
    ({"class_names": ["x" * 10_000]}, "names of classes that are no names"),
    ({"class_names": []}, "names of classes that are no names"),
    ({"class_folders": [b"x"]}, "names of classes that are no names"),
    ({"class_folders": ["x"]}, "1 folders of 10 classes"),
    ({"mean": torch.zeros(3, 9, 9)}, "a mean image of another shape"),
    ({"mean": torch.zeros(1).expand(3, 73, 73)}, "a mean image of another shape"),
    ({"mean": torch.full((3, 73, 73), torch.nan)}, "a mean image of another shape"),
    ({"pixel_scale": "all"}, "a scale of pixels that is none"),
    ({"loss": "none"}, "an unknown loss"),
    ({"data": {"source": ["folder"]}}, "no description of its images"),
]


@pytest.mark.parametrize(("lie", "said"), LIES)
def test_a_description_that_lies_is_refused(lie, said, trained, tmp_path):
    line = refusal(changed(trained, tmp_path / "net.ckpt", **lie)) if "layers=3" not in said else None
    if line is None:
        with pytest.raises(UserError, match=said):
            read_checkpoint(changed(trained, tmp_path / "net.ckpt", **lie))
    else:
        assert __import__("re").search(said, line)


@pytest.mark.parametrize(("lie", "said"), [pair for pair in LIES if "layers" not in pair[0].get("net", {})])
def test_a_training_whose_checkpoints_nobody_could_read_does_not_begin(lie, said, trained, tmp_path):
    held = torch.load(changed(trained, tmp_path / "net.ckpt", **lie), weights_only=True)
    with pytest.raises(UserError, match=said):
        check_description(held["convscope"])
    check_description(torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["convscope"])


def test_weights_that_claim_more_than_the_file_holds(trained, tmp_path):
    held = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    held["state_dict"]["net.fc8.bias"] = torch.zeros(1).expand(10**9)
    torch.save(held, tmp_path / "net.ckpt")
    assert "larger than the file" in refusal(tmp_path / "net.ckpt")


def test_arrays_and_pictures_that_lie_end_neither_training_nor_what_reads_the_run(tmp_path, cache):
    """tests/report/test_records.py has the ways to lie; here a run has lost some of its files, as to a power cut."""
    run = tmp_path / "run"
    words = [*SMALL, "optim.schedule=constant", f"data.cache_dir={cache}", f"hydra.run.dir={run}"]
    assert convscope(*words, cwd=tmp_path).returncode == 0
    for name in ("top9/epoch_001.safetensors", "evolution/epoch_001.safetensors"):
        (run / name).write_bytes(b"")
    picture = run / "pictures/top9/conv1/epoch_002.webp"
    picture.write_bytes(picture.read_bytes()[:1000])
    ended = convscope(f"resume={run}", "trainer.max_epochs=3", cwd=tmp_path)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    assert json.loads((run / "summary.json").read_text())["finished"]
    assert sorted(top9_records(run)) == [2, 3]
    shown = {(each.epoch, each.layer) for each in projection_rows(run, 10_000)}
    assert {epoch for epoch, _ in shown} == {2, 3} and (3, "conv1") in shown and (2, "conv1") not in shown


def test_cells_that_begin_a_formula_are_text_and_numbers_stay_numbers(tmp_path):
    told = ["=1+1", "+cmd", "-x", "@a", "\tb", "\r=c"]
    assert [spreadsheet_safe(value) for value in told] == [f"'{value}" for value in told]
    kept = [-1.5, 0, True, None, "-1.5", "+2", "-inf", "1e-5", "-0.1 [-0.3, 0.2] less", "fox", "", "a=b"]
    assert [spreadsheet_safe(value) for value in kept] == kept
    rows = [{"class": "=1+1", "top1": -0.5}]
    Record(tmp_path / "run").add(Table("classes", rows))
    for text in ((tmp_path / "run/tables/classes.csv").read_text(), csv_table(rows)):
        assert next(csv.DictReader(io.StringIO(text))) == {"class": "'=1+1", "top1": "-0.5"}


FOLDERS = [
    b"<img src=x onerror=alert(1)>", b"'quoted\"", b"line\nbreak\r\t", "\u202egnirts \u200f\u05d0".encode(), b"x" * 255,
    b"-dash", b"=1+1", b"@at", b"Case", b"case", b"bytes \xff\xfe", b"\\udcff", b"e\xcc\x81", b"\xc3\xa9",
    b" a&b;,%s{0}${x} ",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_classes_with_hostile_names_are_trained_and_shown_as_text(tmp_path):
    """Names of folders and files, and names from classes.csv, which may hold what no folder can be called."""
    draw, root = np.random.default_rng(0), os.fsencode(tmp_path / "set")
    plain = [f"c{number:02}".encode() for number in range(len(NAMES))]
    for name in [os.path.join(split, name) for split in (b"train", b"val") for name in [*FOLDERS, *plain]]:
        os.makedirs(os.path.join(root, name))
        for image in (b"0.png", b"1.png"):
            with open(os.path.join(root, name, os.path.basename(name)[:200] + image), "wb") as file:
                Image.fromarray(draw.integers(0, 256, (70, 70, 3), np.uint8)).save(file, "PNG")
    with open(tmp_path / "set/classes.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("wnid", "name"), *((f"c{n:02}", name) for n, name in enumerate(NAMES))])
    small = ["trainer=smoke", "model.width=0.05", "optim.batch_size=8", "evolution.maps=1", "data.image_size=64"]
    small += [f"data.cache_dir={tmp_path}/cache", "logger=wandb", "evolution.layers=[conv1]"]
    ended = convscope("data=folder", f"data.root={tmp_path}/set", *small, "hydra.run.dir=run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for job in ("evaluate", "neighbors"):
        shown = convscope(f"job={job}", "ckpt=run/checkpoints/last.ckpt", f"hydra.run.dir={job}", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
    classes = json.loads((tmp_path / "run/summary.json").read_text())["classes"]
    told = {name.decode(errors="backslashreplace").replace("\\xff\\xfe", "\\udcff\\udcfe") for name in FOLDERS}
    assert set(classes) == told | set(NAMES) and len(classes) == len(FOLDERS) + len(NAMES)
    for folder in ("run", "evaluate", "neighbors"):
        page = (tmp_path / folder / "report/index.html").read_text(encoding="utf-8")
        assert "<script>alert(1)" not in page and "<img src=x" not in page
        for table in (tmp_path / folder).rglob("*.csv"):
            cells = [cell for row in csv.reader(io.StringIO(table.read_text(), newline="")) for cell in row]
            assert not any(cell.startswith(("=", "@", "-1+", "-dash")) for cell in cells), table
    assert {path.name for path in tmp_path.iterdir()} == {"set", "cache", "run", "evaluate", "neighbors"}


def test_no_secret_and_no_home_in_any_file_of_a_run(tmp_path, cache):
    home = tmp_path / "home-of-somebody"
    (home / "work").mkdir(parents=True)
    ended = convscope(
        "data.train=20", "data.val=20", "data.image_size=64", "model.width=0.05", "trainer=smoke", "evolution=off",
        "logger=wandb", "logger.wandb.mode=offline", f"data.cache_dir={cache}", "hydra.run.dir=run",
        cwd=home / "work", HOME=str(home), **SECRETS,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    files = [path for path in (home / "work/run").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".wandb" for path in files)
    for path in files:
        held = path.read_bytes()
        for name, secret in SECRETS.items():
            assert secret.encode() not in held, (path, name)
        if path.parent.name == "logs":  # of wandb's own program
            continue
        assert str(ROOT).encode() not in held, path
        if path.suffix != ".ckpt":  # where Lightning notes the folder that its checkpoints go to
            assert str(home).encode() not in held, path


@pytest.mark.slow
def test_a_setting_that_reads_a_secret_is_refused(tmp_path):
    ended = convscope("name=${oc.env:HF_TOKEN}", "hydra.run.dir=run", cwd=tmp_path, **SECRETS)
    assert ended.returncode == 1 and "$HF_TOKEN" in ended.stderr and SECRETS["HF_TOKEN"] not in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("key", ["hydra", "defaults", "deep"])
def test_a_run_folder_made_to_run_code_is_not_gone_on_with(key, tmp_path):
    call = f"{{_target_: builtins.open, file: {tmp_path}/ran, mode: w}}"
    body = {"hydra": f"hydra: {{callbacks: {{x: {call}}}}}", "defaults": "defaults: [x]", "deep": f"data: [{call}]"}
    (tmp_path / "run/.hydra").mkdir(parents=True)
    (tmp_path / "run/.hydra/config.yaml").write_text(f"job: train\n{body[key]}\n")
    ended = convscope("resume=run", cwd=tmp_path)
    assert ended.returncode == 1 and "which no run of convscope writes" in ended.stderr
    assert not (tmp_path / "ran").exists()
