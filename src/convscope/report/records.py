"""The top-9 records of a run folder, as a viewer meets them: perhaps gone, cut short or of other shapes."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

NINE = 9
FIELDS = ("score", "image", "row", "col")
DAMAGED = (OSError, SafetensorError, TypeError, ValueError, AttributeError)  # what reading a file that lies may raise


class Nine(NamedTuple):
    """The images that excite one map, strongest first, at most nine; four digits of each score. row, col: the unit."""

    image: list[int]
    score: list[float]
    row: list[int]
    col: list[int]


def record_path(folder: Path, epoch: int | None) -> Path:
    """Where the record of an epoch stands; None: that of a finished net."""
    return folder / "top9" / ("top9.safetensors" if epoch is None else f"epoch_{epoch:03d}.safetensors")


def record_layers(folder: Path, epoch: int | None) -> dict[str, list[np.ndarray]]:
    """score, image, row and col [C, 9] of each layer of a record; without those that are not whole."""
    try:
        with safe_open(record_path(folder, epoch), "np") as arrays:
            names = [name.removesuffix(".score") for name in arrays.keys() if name.endswith(".score")]  # noqa: SIM118
            found = {name: _whole(arrays, name) for name in names}
    except DAMAGED:
        return {}
    return {name: fields for name, fields in found.items() if fields is not None}


def record_layer(folder: Path, epoch: int | None, layer: str) -> list[np.ndarray] | None:
    """One of `record_layers` without reading the others; None where it is not there or not whole."""
    try:
        with safe_open(record_path(folder, epoch), "np") as arrays:
            return _whole(arrays, layer)
    except DAMAGED:
        return None


def _whole(arrays: Any, layer: str) -> list[np.ndarray] | None:
    try:
        score, *places = found = [arrays.get_tensor(f"{layer}.{name}") for name in FIELDS]
    except DAMAGED:
        return None
    right = score.ndim == 2 and score.shape[1] == NINE and all(place.shape == score.shape for place in places)
    typed = score.dtype == np.float32 and all(place.dtype == np.int64 for place in places)
    return found if right and typed else None


def nines(folder: Path, epoch: int | None, layer: str, maps: list[int]) -> list[Nine]:
    """One for each of the maps; empty ones where the record is not there, and for maps that it does not have."""
    found = record_layer(folder, epoch, layer)
    count = 0 if found is None else len(found[0])
    return [
        _nine(*(field[number] for field in found)) if found and number < count else Nine([], [], [], [])
        for number in maps
    ]


def dead_maps(folder: Path, epoch: int | None, layer: str) -> list[int] | None:
    """The maps of the whole layer, shown or not, that no image excites; None where the record is not there."""
    found = record_layer(folder, epoch, layer)
    return None if found is None else [int(number) for number in np.flatnonzero(~(found[0] > 0).any(axis=1))]


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
