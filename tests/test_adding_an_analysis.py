"""docs/adding_an_analysis.md, followed to the letter in a copy of the repository: the new analysis runs everywhere."""

import json
import re
import shutil
from pathlib import Path

import pytest

from conftest import ROOT, python

PAGE = ROOT / "docs/adding_an_analysis.md"
FILES = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDED = re.compile(r'^\+(    "\w+",)$', re.MULTILINE)
BEFORE = re.compile(r'^ (    "\w+",)\n\+', re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with the files of the page, and its one line in ANALYSES."""
    place = tmp_path_factory.mktemp("copy")
    for name in ("src", "conf", "tests", "docs", "README.md", "pyproject.toml"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "pictures")
        shutil.copytree(source, place / name, ignore=ignore) if source.is_dir() else shutil.copy(source, place / name)
    text = PAGE.read_text()
    for name, content in FILES.findall(text):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)
    listed = place / "src/convscope/analyses/__init__.py"
    (line,), (neighbor,) = ADDED.findall(text), BEFORE.findall(text)
    assert listed.read_text().count(neighbor) == 1
    listed.write_text(listed.read_text().replace(neighbor, f"{neighbor}\n{line}"))
    return place


def test_the_page_takes_one_folder_a_yaml_a_page_of_docs_and_a_folder_of_tests():
    folders = {name.rpartition("/")[0] for name, _ in FILES.findall(PAGE.read_text())}
    assert folders == {"src/convscope/analyses/sparsity", "conf/job", "docs", "tests/analyses/sparsity"}
    assert len(ADDED.findall(PAGE.read_text())) == 1


def test_the_new_job_is_in_the_help_runs_and_has_its_section_on_the_page(copy, trained, tmp_path):
    helped = python(copy / "src/run.py", "--help", cwd=copy)
    assert "share of each layer's units that are on for an image" in helped.stdout
    keys = python(copy / "src/run.py", "job=sparsity", "--help", cwd=copy)
    assert "images: 50 " in keys.stdout and "split: val " in keys.stdout
    words = [f"ckpt={trained}/checkpoints/last.ckpt", "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path}/run"]
    ended = python(copy / "src/run.py", "job=sparsity", "sparsity.images=4", *words, cwd=copy)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in (tmp_path / "run/index.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"conclusion", "table", "picture", "number"}
    assert all(0 < line["value"] < 1 for line in lines if line["kind"] == "number")
    page = (tmp_path / "run/report/index.html").read_text()
    assert "How few units are on" in page and 'id="sparsity"' in page
    refused = python(copy / "src/run.py", "job=sparsity", "sparsity.images=0", *words, cwd=copy)
    assert refused.returncode == 1 and "sparsity.images=0 is too small; it is 1 or more" in refused.stderr


def test_the_tests_of_the_copy_know_the_new_analysis(copy, trained):
    tests = ["tests/analyses/sparsity", "tests/test_house.py", "tests/cli/test_every_setting.py"]
    command = [Path(pytest.__file__).parent / "__main__.py", "-q", "-p", "no:cacheprovider", *tests]
    ended = python(*command, "-k", "sparsity or house", cwd=copy, CONVSCOPE_TRAINED=str(trained))
    assert ended.returncode == 0, ended.stdout
    assert int(re.search(r"(\d+) passed", ended.stdout)[1]) > 300
