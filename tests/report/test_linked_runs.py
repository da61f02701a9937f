"""Pages of one net lead to each other."""

import json
import os
import re
import shutil

import pytest

from conftest import convscope
from convscope.report.linked_runs import NOTES_FILE, analyses_of, comparable_runs, note_analysis, trained_run
from convscope.report.page import write_page
from convscope.runs.reading import run_folder_of


@pytest.fixture
def pair(tmp_path):
    """A training run and an analysis of its net, each with a page."""
    folders = tmp_path / "train" / "a run", tmp_path / "occlude" / "b"
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"finished": True}))
        write_page(folder)
    return folders


def test_a_checkpoint_is_of_the_run_around_it(pair):
    checkpoint = pair[0] / "checkpoints" / "last.ckpt"
    assert run_folder_of(str(checkpoint)) == pair[0].resolve()
    for elsewhere in (pair[0] / "last.ckpt", None, [checkpoint]):
        assert run_folder_of(elsewhere) is None
    shutil.rmtree(pair[0])
    assert run_folder_of(checkpoint) is None


def test_a_note_becomes_a_link_and_the_last_one_counts(pair):
    for when in ("yesterday", "today"):
        note_analysis(pair[1], pair[0], "occlude", when)
    (link,) = analyses_of(pair[0])
    assert (link.words, link.when) == ("occlusion", "today")
    assert (pair[0] / "report" / link.address.replace("%20", " ")).resolve() == (pair[1] / "report" / "index.html")


def test_two_pages_that_show_the_same_say_when_they_were_made(pair):
    again = shutil.copytree(pair[1], pair[1].with_name("c"))
    note_analysis(pair[1], pair[0], "occlude", "yesterday")
    note_analysis(again, pair[0], "occlude", "today")
    assert [link.words for link in analyses_of(pair[0])] == ["occlusion (today)", "occlusion (yesterday)"]


def test_of_many_runs_of_a_sweep_the_last_ones_can_be_compared(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}_net" / "report" / "atlas").mkdir(parents=True)
        os.utime(tmp_path / f"{number}_net", times=(1e9, 1e9))  # they have one start: that of the sweep
    beside = [run["folder"] for run in comparable_runs(tmp_path / "11_net")]
    assert beside == [f"{number}_net" for number in range(10, -1, -1)]


def test_a_page_that_is_gone_is_no_link(pair):
    note_analysis(pair[1], pair[0], "occlude", "today")
    (pair[1] / "report" / "index.html").unlink()
    assert analyses_of(pair[0]) == []


@pytest.mark.parametrize("target", ["/etc", "..", 3, None, "https://example.org", "../../nowhere"])
def test_what_is_no_run_folder_is_no_link(pair, target):
    note = json.dumps({"folder": target, "job": "occlude", "when": "today"})
    (pair[0] / NOTES_FILE).write_text(f"{note}\nnonsense\n[1]\n")
    assert analyses_of(pair[0]) == [] and trained_run(pair[0], target) is None


def test_words_are_escaped(pair):
    note_analysis(pair[1], pair[0], "<script>alert(1)</script>", "today")
    write_page(pair[0])
    text = (pair[0] / "report" / "index.html").read_text()
    assert "More about this net" in text and "<script>alert(1)" not in text


def test_an_analysis_and_the_run_of_its_net_link_to_each_other(trained_alone, tmp_path):
    place = trained_alone.parent / "looked"
    ended = convscope(
        "job=visualize", f"ckpt={trained_alone}/checkpoints/last.ckpt", "evolution.maps=1", f"hydra.run.dir={place}",
        cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    page = (trained_alone / "report" / "index.html").read_text()
    assert re.search(r'href="../../looked/report/index.html" title="[\d: -]+">features<', page)
    back = f'href="../../{trained_alone.name}/report/index.html"'
    assert back in (place / "report" / "index.html").read_text()


@pytest.fixture
def trained_alone(trained, tmp_path):
    """A copy of the trained run without other analyses."""
    return shutil.copytree(trained, tmp_path / "runs" / "mine")
