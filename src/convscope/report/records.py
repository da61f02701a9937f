"""The top-9 records of a run folder, as a viewer meets them: perhaps gone, cut short or of other shapes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

NINE = 9


class Nine(NamedTuple):
    """The images that excite one map, strongest first, at most nine; four digits of each score. row, col: the unit."""

    image: list[int]
    score: list[float]
    row: list[int]
    col: list[int]


def record_path(folder: Path, epoch: int | None) -> Path:
    """Where the record of an epoch stands; None: that of a finished net."""
    return folder / "top9" / ("top9.safetensors" if epoch is None else f"epoch_{epoch:03d}.safetensors")


def nines(folder: Path, epoch: int | None, layer: str, maps: list[int]) -> list[Nine]:
    """One for each of the maps; empty ones where the record is not there, and for maps that it does not have."""
    try:
        with safe_open(record_path(folder, epoch), "np") as arrays:
            score, *places = (arrays.get_tensor(f"{layer}.{name}") for name in ("score", "image", "row", "col"))
    except (OSError, SafetensorError):
        return [Nine([], [], [], []) for _ in maps]
    whole = score.ndim == 2 and score.shape[1] == NINE and all(place.shape == score.shape for place in places)
    if not whole or score.dtype.kind != "f" or any(place.dtype.kind != "i" for place in places):
        return [Nine([], [], [], []) for _ in maps]
    return [
        _nine(score[number], *(place[number] for place in places)) if number < len(score) else Nine([], [], [], [])
        for number in maps
    ]


def dead_maps(folder: Path, epoch: int | None, layer: str) -> list[int] | None:
    """The maps of the whole layer, shown or not, that no image excites; None where the record is not there."""
    try:
        with safe_open(record_path(folder, epoch), "np") as arrays:
            score = arrays.get_tensor(f"{layer}.score")
    except (OSError, SafetensorError):
        return None
    if score.ndim != 2 or score.dtype.kind != "f":
        return None
    return [int(number) for number in np.flatnonzero(~(score > 0).any(axis=1))]


def _nine(score: np.ndarray, image: np.ndarray, row: np.ndarray, col: np.ndarray) -> Nine:
    excited = (image >= 0) & (score > 0) & np.isfinite(score)
    digits = [float(f"{value:.4g}") for value in score[excited]]
    return Nine(image[excited].tolist(), digits, row[excited].tolist(), col[excited].tolist())


def kept(now: list[Nine], then: list[Nine] | None) -> list[float | None]:
    """For each map the share of its images that excited it before too, whatever their rank.

    None where there was nothing before, and for a map that no image excites now.
    """
    if then is None:
        return [None] * len(now)
    return [
        round(len(set(new.image) & set(old.image)) / len(new.image), 3) if new.image else None
        for new, old in zip(now, then, strict=True)
    ]
