"""The share of time that throttled work may take."""

import time

import pytest

from convscope.runs.throttle import Throttle


def test_work_waits_until_its_share_of_the_time_is_small_again():
    never_again, always = Throttle(1e-9), Throttle(1.0)
    assert never_again.due and always.due
    for throttle in (never_again, always):
        with throttle.counted():
            time.sleep(0.01)
    assert not never_again.due and always.due


def test_work_that_raises_counts_too():
    throttle = Throttle(1e-9)
    with pytest.raises(KeyError), throttle.counted():
        raise KeyError
    assert not throttle.due
