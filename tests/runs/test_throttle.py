"""A share of the time, held by what is done and what is not."""

import time

import pytest

from convscope.runs.throttle import Throttle


def test_what_has_taken_time_waits_for_its_share_to_be_small_again():
    never_again, always = Throttle(1e-9), Throttle(1.0)
    assert never_again.due and always.due
    for each in (never_again, always):
        with each.counted():
            time.sleep(0.01)
    assert not never_again.due and always.due


def test_what_fails_counts_too():
    sparing = Throttle(1e-9)
    with pytest.raises(KeyError), sparing.counted():
        raise KeyError
    assert not sparing.due
