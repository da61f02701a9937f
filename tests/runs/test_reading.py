import os
import re
from datetime import datetime

from convscope.runs.reading import is_run_folder, read_run, read_table, start_time


def test_a_finished_run_is_read_whole(finished_run):
    run = read_run(finished_run)
    assert run.metrics["epoch"] == list(range(1, 9))
    assert run.summary["final"]["val/top1"] == 0.9534
    assert run.choices == {"model": "zfnet", "data": "critters"}
    assert run.overrides == ["model.width=0.25", "trainer.max_epochs=8"]
    assert run.settings["data"]["image_size"] == 64
    assert len([entry for entry in run.entries if entry.name == "top9/conv3"]) == 8
    assert run.remarks == []
    assert re.fullmatch(r"Run of job=train in \S+: \d+ entries, 8 rows of metrics", repr(run))


def test_an_empty_folder_is_no_run_and_reads_as_nothing(tmp_path):
    run = read_run(tmp_path)
    assert not is_run_folder(tmp_path)
    assert not is_run_folder(tmp_path / (300 * "a"))  # longer than a name may be
    assert (run.entries, run.metrics, run.summary, run.remarks) == ([], {}, {}, [])


def test_the_last_line_about_a_picture_wins(pictures_run, add_picture):
    add_picture(pictures_run, "top9/features.0", "a better one", layer="features.0")
    captions = [entry.caption for entry in read_run(pictures_run).entries if entry.layer == "features.0"]
    assert captions == ["a better one"]


def test_paths_that_leave_the_folder_are_refused(pictures_run, add_line):
    secret = pictures_run.parent / "secret.jpg"
    secret.write_bytes(b"x")
    os.symlink(secret, pictures_run / "pictures" / "link.jpg")
    (pictures_run / "notes.html").write_text("<b>not a picture</b>")
    wrong = ["../secret.jpg", "pictures/../../secret.jpg", str(secret), "pictures/link.jpg", "..\\secret.jpg"]
    wrong += ["notes.html", "pictures/\0.jpg", "javascript:alert(1)", "https://example.org/x.jpg/../../../secret.jpg"]
    for number, path in enumerate(wrong):
        add_line(pictures_run, kind="picture", name=f"wrong/{number}", path=path)
    run = read_run(pictures_run)
    assert [entry.name for entry in run.entries] == ["top9/features.0", "top9/features.3"]
    assert run.remarks == [f"index.jsonl names {len(wrong)} files outside this folder or of another kind; not shown"]


def test_files_that_are_gone_and_kinds_of_others_are_left_out(pictures_run, add_line):
    add_line(pictures_run, kind="picture", name="gone", path="pictures/gone.jpg")
    add_line(pictures_run, kind="arrays", name="top9", path="top9/epoch_001.safetensors")
    run = read_run(pictures_run)
    assert len(run.entries) == 2
    assert run.remarks == []


def test_damaged_lines_and_summary_are_told(pictures_run):
    with open(pictures_run / "index.jsonl", "a") as index:
        index.write('{"kind": "picture", "na\n[1]\n{"kind": "number", "name": "x", "epoch": "soon"}\n')
    (pictures_run / "summary.json").write_text("{")
    remarks = read_run(pictures_run).remarks
    assert remarks == ["3 lines of index.jsonl cannot be read; not shown", "summary.json cannot be read; not shown"]


def test_empty_and_infinite_metrics_are_none(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,a,b\n1,,nan\n2,0.5,inf\n3\n")
    assert read_run(tmp_path).metrics == {"epoch": [1, 2, 3], "a": [None, 0.5, None], "b": [None, None, None]}


def test_the_date_is_in_the_name_of_the_folder_or_of_the_sweep(tmp_path):
    sweep = tmp_path / "2025-01-02_03-04-05-000001_train" / "0_zfnet"
    sweep.mkdir(parents=True)
    assert start_time(sweep.parent) == start_time(sweep) == datetime(2025, 1, 2, 3, 4, 5)
    (tmp_path / "index.jsonl").write_text("")
    os.utime(tmp_path / "index.jsonl", (1e9, 1e9))
    assert start_time(tmp_path) == datetime.fromtimestamp(1e9)


def test_a_table_without_rows(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    assert read_table(tmp_path / "empty.csv") == ([], [])


def test_what_a_run_is_can_be_read_before_it_has_ended(tmp_path):
    (tmp_path / "about.json").write_text('{"classes": ["owl"], "seed": 3}')
    assert read_run(tmp_path).summary == {"classes": ["owl"], "seed": 3}
    (tmp_path / "summary.json").write_text('{"classes": ["owl"], "seed": 4, "finished": true}')
    assert read_run(tmp_path).summary == {"classes": ["owl"], "seed": 4, "finished": True}


def test_a_damaged_about_is_told(tmp_path):
    (tmp_path / "about.json").write_text('{"classes": [')
    assert "about.json cannot be read; not shown" in read_run(tmp_path).remarks
