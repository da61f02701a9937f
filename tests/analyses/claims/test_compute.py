import math

import numpy as np
import pytest

from convscope.analyses.claims.compute import (
    MIN_CASES,
    OCCLUSION,
    PARTS,
    ROTATED_CLASS,
    Statement,
    judge,
    unmeasured,
    verdict,
)
from convscope.metrics.intervals import Interval, mean_interval

NOTHING = Statement("x", "x is more", "1", "x minus y", size=0.1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.02, "holds"),  # the whole interval on the claimed side, though a small effect
        (0.3, 0.9, "holds"),
        (-0.9, -0.3, "does not hold"),  # the opposite is true
        (-0.05, 0.05, "does not hold"),  # about the bound, and an effect that counts is ruled out
        (0.0, 0.0, "does not hold"),  # exactly equal
        (-0.05, 0.1, "not enough data"),  # an effect of just the size is still possible
        (-0.9, 0.9, "not enough data"),
        (0.0, 0.9, "not enough data"),  # equality is still possible
        (-math.inf, math.inf, "not enough data"),
        (math.nan, math.nan, "not enough data"),
    ],
)
def test_the_interval_alone_decides(low, high, expected):
    assert verdict(Interval((low + high) / 2, low, high, 50), size=0.1) == expected
    moved = Interval((low + high) / 2 + 0.5, low + 0.5, high + 0.5, 50)
    assert verdict(moved, size=0.1, bound=0.5) == expected


def test_a_value_that_is_no_number_decides_nothing():
    assert verdict(Interval(math.nan, 0.2, 0.3, 50), size=0.1) == "not enough data"


def test_few_cases_decide_nothing_however_clear_they_are():
    assert verdict(Interval(0.5, 0.4, 0.6, MIN_CASES - 1), size=0.1) == "not enough data"
    assert verdict(Interval(0.5, 0.4, 0.6, MIN_CASES), size=0.1) == "holds"
    assert 2.0**-MIN_CASES < 0.025 < 2.0 ** -(MIN_CASES - 1)
    claim = judge(NOTHING, Interval(0.5, 0.4, 0.6, 3), "two nets")
    assert claim.because == "two nets; 3 independent cases, a verdict takes 6"


@pytest.mark.slow
def test_a_true_null_rarely_holds_and_an_effect_is_found():
    """The rule on data whose truth is known: of 200 studies without effect about one in forty may say "holds"."""
    draw = np.random.default_rng(0)
    null = [verdict(mean_interval(draw.normal(0, 1, 40), seed), 0.1) for seed in range(60)]
    effect = [verdict(mean_interval(draw.normal(1, 1, 40), seed), 0.1) for seed in range(20)]
    against = [verdict(mean_interval(draw.normal(-1, 1, 40), seed), 0.1) for seed in range(20)]
    assert null.count("holds") <= 6 and effect.count("holds") >= 19 and against.count("does not hold") >= 19


def test_more_images_turn_undecided_into_decided():
    draw = np.random.default_rng(1)
    eight, two_thousand = draw.normal(0, 0.02, 8), draw.normal(0, 0.02, 2000)
    assert judge(PARTS, mean_interval(eight), "").verdict == "not enough data"
    assert judge(PARTS, mean_interval(two_thousand), "").verdict == "does not hold"


def test_the_claim_carries_what_was_measured():
    claim = judge(ROTATED_CLASS, Interval(0.7, 0.6, 0.8, 90), "90 images")
    assert (claim.value, claim.low, claim.high, claim.n, claim.because) == (0.7, 0.6, 0.8, 90, "90 images")
    assert claim.verdict == "holds" and claim.claim == ROTATED_CLASS.claim and claim.section == ROTATED_CLASS.section
    assert judge(ROTATED_CLASS, Interval(0.3, 0.2, 0.4, 90), "").verdict == "does not hold"  # above 0, below its bound


def test_what_was_not_measured_is_undecided():
    claim = unmeasured(OCCLUSION, "no boxes; type claims.boxes=<csv>")
    assert claim.verdict == "not enough data" and math.isnan(claim.value) and claim.n == 0
    assert claim.because == "no boxes; type claims.boxes=<csv>"
