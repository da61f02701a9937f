"""Lines of long work in pipes and logs, by a clock that the test moves."""

import pytest

from convscope.engine import progress
from convscope.engine.progress import PlainProgress, progress_line, track, track_parts


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test adds seconds to it."""
    now = [1000.0]
    monkeypatch.setattr(progress, "PLAIN", PlainProgress(lambda: now[0]))
    return now


def work(clock, seconds, words="covering the images", **total):
    for wait in track(seconds, words):
        clock[0] += wait


def test_short_work_is_silent(clock, capsys):
    work(clock, [4.9, 5, 5])
    clock[0] += 1000  # the next work has nothing to do with it
    work(clock, [14])
    assert capsys.readouterr() == ("", "")


def test_a_line_every_fifteen_seconds_goes_to_stderr(clock, capsys):
    work(clock, [5.0] * 7)
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "covering the images: 3 of 7, 0:15, about 20 s left",
        "covering the images: 6 of 7, 0:30, about 5 s left",
    ]


def test_many_short_works_are_not_silent_together(clock, capsys):
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        work(clock, [2.0, 2.0], layer)
    assert capsys.readouterr().err.splitlines() == ["conv4: 2 of 2, 0:04"]


def test_parts_count_as_their_sizes_and_an_unknown_total_has_no_end(clock, capsys):
    for _ in track_parts([[1] * 30, [1] * 10], "reading", 40, len):
        clock[0] += 30
    for _ in track_parts([[1] * 30], "reading", None, len):
        clock[0] += 3700
    assert capsys.readouterr().err.splitlines() == [
        "reading: 30 of 40, 0:30, about 10 s left", "reading: 40 of 40, 1:00", "reading: 30, 1:01:40",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "done", "left"), [(60, 20, "4 min"), (30, 40, "45 s"), (3600, 10, "9.0 h"), (100, 50, "2 min")]
)
def test_the_time_that_is_left(seconds, done, left):
    assert progress_line("x", done, 100, seconds).endswith(f", about {left} left")


def test_work_that_is_given_up_ends(clock, capsys):
    with pytest.raises(ZeroDivisionError):
        for _ in track([1], "x"):
            raise ZeroDivisionError
    clock[0] += 60
    work(clock, [10.0])
    assert progress.PLAIN.open_works == 0 and capsys.readouterr().err == ""
