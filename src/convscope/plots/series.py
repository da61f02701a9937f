"""Colors, dashes, markers and words of the series of a run, alike in every figure and on the page.

The page has the same values in report/assets: colors in page.css, dashes in curves.js, words in training.js. Series
also differ in dash and marker, for readers who print in gray or do not tell colors apart.
"""

from typing import Any, NamedTuple

COLORS = ("#1f6fa8", "#c2570c", "#2b7f5b", "#8a4fa3", "#7a6a12", "#4b5563")  # by the number of a series
LAYER_COLORS = (
    "#440154",
    "#481668",
    "#482979",
    "#443a83",
    "#3e4c8a",
    "#365c8d",
    "#306a8e",
    "#2a788e",
    "#24868e",
    "#20938c",
    "#1fa187",
    "#29af7f",
)  # from the pixels up: the darker part of viridis, whose lightness rises evenly
DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4", "4 4")  # on and off, in pixels beside a line of LINE_PIXELS
LINE_PIXELS = 2.0
MARKERS = ("o", "s", "^", "D", "v", "P")


class Series(NamedTuple):
    """What a column of metrics.csv is called, and the number that gives it its color, dash and marker."""

    words: str
    number: int


NET, PAPER, NULL = (
    COLORS[0],
    COLORS[4],
    "#82828c",
)  # the net in question, the paper's, what tells neither (random weights)
VALIDATION, TRAINING = 0, 1
SERIES = {
    "train/loss": Series("training", TRAINING),
    "val/loss": Series("validation", VALIDATION),
    "train/top1": Series("training", TRAINING),
    "val/top1": Series("validation", VALIDATION),
    "val/top5": Series("validation, top-5", 2),
    "val/class_mean": Series("validation, class mean", 3),
    "val/mean_ap": Series("validation, mean AP", 4),
}


def series_style(number: int) -> dict[str, Any]:
    """Keywords of matplotlib's plot for a series: six differ in color, dash and marker, the next six in two of them."""
    turn = (number + number // 6) % 6
    return {"color": COLORS[number % 6], "linestyle": _dash(turn), "marker": MARKERS[turn]}


def layer_style(number: int, layers: int) -> dict[str, Any]:
    """Keywords of matplotlib's plot for layer `number` of `layers`, which count from the pixels up."""
    place = int(number * (len(LAYER_COLORS) - 1) / max(1, layers - 1) + 0.5)
    return {**series_style(number), "color": LAYER_COLORS[place]}


def _dash(turn: int) -> Any:
    lengths = tuple(int(pixels) / LINE_PIXELS for pixels in DASHES[turn].split())
    return (0, lengths) if lengths else "-"
