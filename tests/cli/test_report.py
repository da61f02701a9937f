import pytest

from convscope.cli.jobs import checked_run_folder
from convscope.errors import UserError
from convscope.report.page import write_page


def test_the_page_is_written_again(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,val/top1\n1,0.5\n")
    assert write_page(checked_run_folder(tmp_path)) == tmp_path / "report" / "index.html"
    assert "50.0 %" in (tmp_path / "report" / "index.html").read_text()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*nowhere; type run=<a run folder>, such as one of outputs/train/"):
        checked_run_folder(tmp_path / "nowhere")


def test_a_folder_of_something_else(tmp_path):
    looked_for = "none of index.jsonl, metrics.csv, summary.json, .hydra/config.yaml is in it; type run=<a run folder>"
    with pytest.raises(UserError) as problem:
        checked_run_folder(tmp_path)
    assert str(problem.value) == f"{tmp_path} is no run folder: {looked_for}"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_runs_names_them(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.jsonl").write_text("")
    with pytest.raises(UserError, match=r"type run=.*/<one of a, b>"):
        checked_run_folder(tmp_path)
