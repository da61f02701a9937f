"""Which epochs Fig. 4 shows, and the sheets that a training run leaves."""

from convscope.learn.evolution import _spread


def test_the_epochs_of_fig_4_are_spread_towards_the_beginning():
    assert _spread([1, 2, 5], 12) == [1, 2, 5]
    shown = _spread(list(range(1, 65)), 12)
    assert shown[0] == 1 and shown[-1] == 64 and len(shown) <= 12
    gaps = [b - a for a, b in zip(shown, shown[1:], strict=False)]
    assert gaps == sorted(gaps)
