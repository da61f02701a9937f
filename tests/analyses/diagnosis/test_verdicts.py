"""Verdicts fall on the right side of their thresholds, and say the number."""

import pytest

from convscope.analyses.diagnosis.compute import verdicts
from convscope.analyses.diagnosis.compute.verdicts import Count

WHITE = (0.09, 0.26, 0.65)


@pytest.mark.parametrize(("dead", "verdict"), [(0, "no dead map"), (4, "a few dead maps"), (41, "too many dead maps")])
def test_dead_maps_of_the_paper_s_example(dead, verdict):
    finding = verdicts.dead_maps("conv1", Count(dead, 96), True, 500)
    assert finding.measured == f"{dead} of 96 maps, by 500 images" and finding.verdict == verdict
    assert finding.paper == "shrank 11x11 stride 4 to 7x7 stride 2"
    assert verdicts.dead_maps("conv5", Count(dead, 96), False, 500).paper == ""


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ((0.5, 0.3, 0.2), "mid frequencies are covered"),
        ((0.55, 0.1, 0.35), "a mix of high and low, little coverage of the mid frequencies"),
        ((0.85, 0.1, 0.05), "mostly low frequencies, little coverage of the mid ones"),
        ((0.02, 0.1, 0.88), "mostly high frequencies, little coverage of the mid ones"),
    ],
)
def test_frequencies(shares, verdict):
    finding = verdicts.frequencies("conv1", shares, WHITE)
    assert (
        finding.verdict == verdict
        and f"mid {shares[1]:.0%}" in finding.measured
        and "9% / 26% / 65%" in finding.measured
    )


@pytest.mark.parametrize(
    ("share", "beside", "ends", "verdict"),
    [
        (0.2, 0.02, (0.1, 0.25), "aliasing"),
        (0.04, 0.02, (0.01, 0.03), "a trace of a grid"),
        (0.2, 0.02, (-0.1, 0.4), "no aliasing"),  # not sure enough
        (0.02, 0.2, (-0.3, -0.1), "no aliasing"),
    ],
)
def test_a_grid_must_be_large_and_certain(share, beside, ends, verdict):
    finding = verdicts.grid("conv2", 4, share, beside, ends)
    assert finding.verdict == verdict and f"{share:.1%} of the energy in a grid of 4 pixels" in finding.measured
    assert verdicts.no_grid("conv2", "a stride of 1").verdict == "cannot be told"


def test_the_other_verdicts():
    assert verdicts.useless_filters("conv1", Count(4, 96), Count(3, 96)).verdict == "too many dead filters"
    assert verdicts.useless_filters("conv1", Count(1, 96), Count(0, 96)).verdict == "a few dead filters"
    assert verdicts.useless_filters("conv1", Count(0, 96), Count(0, 96)).verdict == "all learned"
    doubled = verdicts.double_filters("conv1", Count(12, 96), (15, 1, 0))
    assert (
        doubled.verdict == "many doubles"
        and doubled.measured.startswith("15 pairs alike")
        and "12 of 96" in doubled.measured
    )
    assert verdicts.double_filters("conv1", Count(1, 96), (1, 0, 0)).measured.startswith("1 pair alike")
    assert verdicts.dominance("conv1", 7.31, 0.25, 0.1).verdict == "a few dominate"
    assert (
        verdicts.dominance("conv1", 7.31, 0.25, 0.1).measured == "largest RMS is 7.31 x the median; 25% at 0.1 or more"
    )
    assert verdicts.dominance("conv1", 1.3, float("nan"), None).measured == "largest RMS is 1.3 x the median"
    assert verdicts.units("fc6", Count(0, 50), Count(0, 50), 0.3).verdict == "they tell images apart"
    assert verdicts.units("fc6", Count(30, 50), Count(20, 50), 0.4).verdict == "too many dead and always on"
    assert verdicts.logits("classes", 0.95).verdict.startswith("saturated")
    assert verdicts.logits("classes", 0.3).verdict == "not saturated"
    assert Count(0, 0).share == 0
