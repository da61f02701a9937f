"""Work beside other work: its order, its errors, its end."""

import threading

import pytest

from convscope.runs.background import Background


def test_work_is_done_at_once_outside_of_a_block():
    background, done = Background(), []
    background.do(lambda: done.append(threading.current_thread()))
    assert done == [threading.main_thread()]
    with pytest.raises(ZeroDivisionError):
        background.do(lambda: 1 / 0)
    background.check()
    background.wait()


def test_pieces_keep_their_order_and_what_they_hand_over_is_a_part_of_them():
    background, done, go = Background(), [], threading.Event()

    def outer(number):
        assert go.wait(10)
        background.do(lambda: done.append((number, "inner")))
        done.append((number, "outer"))

    with background.beside():
        for number in range(5):
            background.do(lambda number=number: outer(number))
        assert done == []  # beside
        go.set()
        background.wait()
        assert done == [(number, part) for number in range(5) for part in ("inner", "outer")]
        background.do(lambda: done.append("last"))
    assert done[-1] == "last"


def test_an_error_leaves_out_what_follows_and_is_raised_once():
    background, done = Background(), []
    with background.beside():
        background.do(lambda: 1 / 0)
        background.do(lambda: done.append(1))
        with pytest.raises(ZeroDivisionError):
            background.wait()
        assert done == []
        background.check()
        background.do(lambda: done.append(2))
    assert done == [2]


def test_the_end_raises_the_works_error_unless_the_block_has_its_own():
    background = Background()
    with pytest.raises(ZeroDivisionError), background.beside():
        background.do(lambda: 1 / 0)
    with pytest.raises(KeyError), background.beside():
        background.do(lambda: 1 / 0)
        raise KeyError
    done = []
    with pytest.raises(KeyError), background.beside():  # what was handed over is finished all the same
        background.do(lambda: done.append(1))
        raise KeyError
    assert done == [1]
    background.check()
