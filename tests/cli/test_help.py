import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from convscope.cli.help import DEFAULTS, EXAMPLES, GROUPS, KEYS, general_help, help_on_choices, summary
from convscope.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
CHOICES = sorted([*CONF.glob("*/*.yaml"), *CONF.glob("hydra/*/*.yaml")])


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_file_is_listed_with_its_own_words(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    first = next(line for line in path.read_text().splitlines() if not line.startswith("# @package"))
    assert first.startswith("# ") and len(first) > 15
    lines = general_help(CONF).splitlines()
    assert any(line.split()[:1] == [path.stem] and first.split()[1] in line for line in lines)
    assert " ".join(first[2:].split()) in " ".join(general_help(CONF).split())


def test_every_group_has_its_heading():
    assert {path.parent.relative_to(CONF).as_posix() for path in CHOICES} == set(GROUPS)
    for group in GROUPS:
        assert f"({group}=...)" in general_help(CONF)


@pytest.mark.parametrize("columns, widest", [("60", 80), ("80", 80), ("93", 93), ("200", 100)])
def test_lines_fit_the_terminal(columns, widest, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    long = [line for line in general_help(CONF).splitlines() if len(line) > widest and "src/run.py" not in line]
    assert not long
    assert max(len(line) for line in general_help(CONF).splitlines()) <= 100


def test_examples_and_keys_are_there():
    text = general_help(CONF)
    assert len(EXAMPLES) == 7
    assert all(example in text for example in EXAMPLES)
    assert all(key in text for key in KEYS)


def test_the_choices_without_any_word_are_those_of_the_config():
    defaults = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    chosen = [f"{group}={choice}" for entry in defaults if isinstance(entry, dict) for group, choice in entry.items()]
    assert set(DEFAULTS) <= set(chosen)


def test_examples_name_choices_that_exist():
    for example in EXAMPLES:
        for word in example.split():
            group, _, choices = word.partition("=")
            for choice in choices.split(",") if group in GROUPS else []:
                assert (CONF / group / f"{choice}.yaml").is_file(), example


@pytest.mark.parametrize(
    "text",
    [b"# @package _global_\njob: train\n# too late\n", b"", b"\xff\xfe\x00", b"a:\n\tb: {\n", b"defaults:\n  - own\n"],
)
def test_a_file_that_does_not_say_what_it_is_for_is_listed_and_breaks_nothing(text, tmp_path):
    conf = shutil.copytree(CONF, tmp_path / "conf")
    for group in GROUPS:
        (conf / group / "own.yaml").write_bytes(text)
    listed = [line for line in general_help(conf).splitlines() if line.split()[:1] == ["own"]]
    assert len(listed) == len(GROUPS) and all("(a comment in the first line of its file" in line for line in listed)
    for group in GROUPS:
        assert help_on_choices(conf, [f"{group}=own"]).startswith(f"{group}=own: (a comment")


def test_configs_are_yaml_mappings_or_empty():
    for path in CHOICES:
        content = yaml.safe_load(path.read_text())
        assert content is None or isinstance(content, dict), path


def test_nothing_heavy_is_imported():
    code = f"""
import sys, pathlib
from convscope.cli.help import general_help
general_help(pathlib.Path({str(CONF)!r}))
heavy = {{"torch", "hydra", "omegaconf", "numpy", "pytorch_lightning", "matplotlib", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {"PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr


def test_help_on_a_choice_has_every_key_of_it():
    text = help_on_choices(CONF, ["job=occlude", "model=vgg16"])
    blocks = [yaml.safe_load((CONF / name).read_text()) for name in ("job/occlude.yaml", "model/vgg16.yaml")]
    for key in [*blocks[0]["occlude"], *blocks[1]["layers"]]:
        assert f" {key}:" in text
    assert summary(CONF / "job" / "occlude.yaml") in text


def test_help_without_a_choice_is_the_manual():
    assert help_on_choices(CONF, ["--help", "seed=3", "optim.lr=0.1"]) is None


def test_help_on_an_unknown_choice_lists_the_choices():
    with pytest.raises(UserError, match="no job=ocude; possible: .*job=occlude.*job=visualize"):
        help_on_choices(CONF, ["job=ocude"])


def test_help_on_a_choice_from_the_command_line():
    words = [sys.executable, str(ROOT / "src" / "run.py"), "--help"]
    shown = subprocess.run([*words, "logger=[wandb,mlflow]"], capture_output=True, text=True)
    assert shown.returncode == 0 and "project:" in shown.stdout and "tracking_uri:" in shown.stdout
    wrong = subprocess.run([*words, "data=photos"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "possible: " in wrong.stderr and "Traceback" not in wrong.stderr
