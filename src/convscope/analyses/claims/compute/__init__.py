"""What Zeiler & Fergus claim of convnets, each claim as one number with an interval, and the verdict on it.

The paper argues with pictures. The statistics, the bounds and the sizes below which a difference does not count are
ours. The sign of every statistic is chosen so that the claim says: the statistic lies above the bound.
"""

import math
from typing import Literal, NamedTuple

from convscope.metrics.intervals import Interval
from convscope.runs.number_format import counted

Verdict = Literal["holds", "does not hold", "not enough data"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
OPEN: Verdict = "not enough data"
MIN_CASES = 6  # of fewer, all fall on one side by chance more often than once in forty times (1/2 ** 5 > 0.025)


class Statement(NamedTuple):
    """A claim before anything is measured.

    name: the claim's name in results. claim: the sentence. section: where the paper makes it. statistic: what is
    measured, in words. size: the smallest excess over the bound that counts.
    """

    name: str
    claim: str
    section: str
    statistic: str
    size: float
    bound: float = 0.0


class Claim(NamedTuple):
    """A tested claim. because: in words what was compared, or what is missing and what to type.

    value, low, high: the statistic and its 95 % interval, nan where nothing was measured. n: independent cases.
    """

    name: str
    claim: str
    section: str
    statistic: str
    value: float
    low: float
    high: float
    n: int
    verdict: Verdict
    because: str


CONVERGENCE = Statement(
    "settling",
    "Lower layers settle earlier than upper ones",
    "4.1, Fig. 4",
    "rank correlation of a map's depth and the epoch from which its top-9 images stay",
    size=0.1,
)
SHIFT = Statement(
    "shift",
    "Upper layers are more invariant to shifts",
    "4.1, Fig. 5",
    "shift until the features have moved half as far as they do, as a share of the widest shift: last hidden layer "
    "minus first layer",
    size=0.05,
)
SCALE = Statement(
    "scale",
    "Upper layers are more invariant to enlarging",
    "4.1, Fig. 5",
    "enlargement until the features have moved half as far as they do, as a share of the largest: last hidden layer "
    "minus first layer",
    size=0.05,
)
ROTATED_CLASS = Statement(
    "rotation",
    "The class is not kept under rotation",
    "4.1, Fig. 5",
    "share of the class's probability above chance that rotation takes, over 30 to 330 degrees; above one half more "
    "is lost than kept",
    size=0.1,
    bound=0.5,
)
ROTATED_FEATURES = Statement(
    "rotated_features",
    "The last hidden layer's features are not kept under rotation",
    "4.1, Fig. 5",
    "distance from the upright image's features, over 30 to 330 degrees, as a share of the distance between images",
    size=0.1,
    bound=0.5,
)
OCCLUSION = Statement(
    "occlusion",
    "Covering the object lowers its probability more than covering elsewhere",
    "4.2, Fig. 7",
    "fall of the class's probability, square centered on the object minus elsewhere",
    size=0.02,
)
PARTS = Statement(
    "parts",
    "The same part of several images corresponds, at the last convolution",
    "4.3, Table 1, layer 5",
    "share of features whose change differs in sign: random places minus parts",
    size=0.01,
)
PARTS_ABOVE = Statement(
    "parts_above",
    "At the last hidden layer parts stand out less than at the last convolution",
    "4.3, Table 1, layer 7",
    "share of features whose change differs in sign, random places minus parts: last convolution minus last hidden "
    "layer",
    size=0.01,
)
DEAD_FILTERS = Statement(
    "dead",
    "A smaller stride leaves fewer dead filters in the first layer",
    "4.1, Fig. 6",
    "share of first-layer maps that no image excites: larger stride minus smaller",
    size=0.05,
)
DEPTH = Statement(
    "deep",
    "Deeper features classify better",
    "5.3, Table 7",
    "accuracy of a linear SVM on frozen features, a share: last hidden layer minus first layer",
    size=0.02,
)
RENORMALIZATION = Statement(
    "renormalization",
    "Renormalization keeps a few filters from dominating the first layer",
    "3 and Fig. 6a",
    "log2 of the largest filter's RMS over the median one: without renormalization minus with it",
    size=0.5,
)

STATEMENTS = (  # in the order of results
    CONVERGENCE, SHIFT, SCALE, ROTATED_CLASS, ROTATED_FEATURES, OCCLUSION, PARTS, PARTS_ABOVE, DEAD_FILTERS,
    RENORMALIZATION, DEPTH,
)  # fmt: skip


def verdict(interval: Interval, size: float, bound: float = 0.0) -> Verdict:
    """The verdict that follows from an interval on "the statistic lies above the bound". The rule is ours.

    It holds when the whole interval lies above the bound. It does not hold when the whole interval lies below
    bound + size: the interval may touch the bound, but an excess that would count is ruled out. Otherwise the interval
    allows both: not enough data. That is also the verdict where an end is no finite number, and for fewer than
    MIN_CASES cases.
    """
    if interval.n < MIN_CASES or not all(map(math.isfinite, interval[:3])):
        return OPEN
    if interval.low > bound:
        return HOLDS
    return FAILS if interval.high < bound + size else OPEN


def judge(statement: Statement, interval: Interval, because: str) -> Claim:
    """The claim with its verdict, which follows from the interval alone."""
    outcome = verdict(interval, statement.size, statement.bound)
    if interval.n < MIN_CASES:
        because = f"{because}; {counted(interval.n, 'independent case')}, a verdict takes {MIN_CASES}"
    if outcome == HOLDS and interval.value < statement.bound + statement.size:
        because = f"{because}; it is less than the {statement.size:g} that would matter"
    return Claim(*statement[:4], *interval, outcome, because)


def unmeasured(statement: Statement, because: str) -> Claim:
    """The claim where nothing could be measured; because: what is missing and what to type."""
    return Claim(*statement[:4], math.nan, math.nan, math.nan, 0, OPEN, because)
