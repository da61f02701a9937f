"""Changes from sums, against scipy's tests of the values themselves, and coverage by simulation."""

import numpy as np
from scipy.stats import binomtest, ttest_1samp

from convscope.metrics.paired_counts import false_discovery_rates, mean_changes, share_changes


def test_means_and_p_are_those_of_the_values():
    values = np.random.default_rng(0).normal(0.3, 1, (5, 12))
    changes = mean_changes(values.sum(1), (values**2).sum(1), 12)
    for number, row in enumerate(values):
        test = ttest_1samp(row, 0)
        interval = test.confidence_interval(0.95)
        ours = [field[number] for field in changes]
        np.testing.assert_allclose(ours, [row.mean(), interval.low, interval.high, test.pvalue], rtol=1e-9)


def test_cases_without_changes_and_with_a_single_image():
    nothing, single = mean_changes([0, 0.5], [0, 0.25], [9, 1]), share_changes([0, 0], [0, 1], [0, 1])
    assert nothing.p.tolist() == [1, 1] and nothing.low[1] == -np.inf
    assert single.value.tolist() == [0, -1] and (single.low >= -1).all() and single.p.tolist() == [1, 1]


def test_shares_change_by_mcnemars_test_and_their_intervals_hold_the_truth():
    changes = share_changes([2, 5], [9, 5], [40, 40])
    np.testing.assert_allclose(changes.p, [binomtest(2, 11).pvalue, 1])
    np.testing.assert_allclose(changes.value, [-7 / 40, 0])
    counts = np.random.default_rng(1).multinomial(60, [0.02, 0.08, 0.9], 4000)  # gained, lost, as before
    intervals = share_changes(counts[:, 0], counts[:, 1], 60)
    assert 0.93 <= ((intervals.low <= -0.06) & (intervals.high >= -0.06)).mean() <= 0.99


def test_false_discovery_rates_by_hand():
    rates = false_discovery_rates(np.array([[0.01, 0.04], [0.03, 0.5]]))
    np.testing.assert_allclose(rates, [[0.04, 0.04 * 4 / 3], [0.04 * 4 / 3, 0.5]])
