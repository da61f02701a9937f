"""The top-9 records of a run folder, as a viewer meets them: perhaps gone, cut short or of other shapes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from convscope.metrics.convergence import TopImages, is_alive, keep_exciting, overlap_with_previous

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


def _whole(arrays: Any, layer: str, fields: Sequence[str] = FIELDS) -> list[np.ndarray] | None:
    """score and others of its fields, each [C, 9]."""
    try:
        score, *places = found = [arrays.get_tensor(f"{layer}.{name}") for name in fields]
    except DAMAGED:
        return None
    right = score.ndim == 2 and score.shape[1] == NINE and all(place.shape == score.shape for place in places)
    typed = score.dtype == np.float32 and all(place.dtype == np.int64 for place in places)
    return found if right and typed else None


def nines(record: list[np.ndarray] | None, maps: list[int]) -> list[Nine]:
    """One for each of the maps of a layer's record; empty ones without a record, and for maps that it does not have."""
    count = 0 if record is None else len(record[0])
    return [
        _nine(*(field[number] for field in record)) if record and number < count else Nine([], [], [], [])
        for number in maps
    ]


def dead_maps(record: list[np.ndarray] | None) -> list[int] | None:
    """The maps of the whole layer, shown or not, that no image excites; None without a record."""
    return None if record is None else np.flatnonzero(~is_alive(_images(record))).tolist()


def kept(now: list[np.ndarray] | None, before: list[np.ndarray] | None, maps: list[int]) -> list[float | None]:
    """For each of the maps the share of its images that excited it before too, whatever their rank.

    None where there was nothing before, and for a map that no image excites now.
    """
    if now is None or before is None or now[0].shape != before[0].shape:
        return [None] * len(maps)
    shares = dict(enumerate(overlap_with_previous(_images(before), _images(now)).tolist()))
    return [round(shares[number], 3) if shares.get(number, np.nan) >= 0 else None for number in maps]


def layer_images(folder: Path, epoch: int) -> dict[str, TopImages]:
    """What `settling` compares of each layer that the record of an epoch has whole."""
    try:
        with safe_open(record_path(folder, epoch), "np") as arrays:
            names = [name.removesuffix(".score") for name in arrays.keys() if name.endswith(".score")]  # noqa: SIM118
            records = {name: _whole(arrays, name, FIELDS[:2]) for name in names}
    except DAMAGED:
        return {}
    return {name: keep_exciting(*fields) for name, fields in records.items() if fields is not None}


def _images(record: list[np.ndarray]) -> TopImages:
    return keep_exciting(record[0], record[1])


def _nine(score: np.ndarray, image: np.ndarray, row: np.ndarray, col: np.ndarray) -> Nine:
    excited = (image >= 0) & (score > 0) & np.isfinite(score)
    digits = [float(f"{value:.4g}") for value in score[excited]]
    return Nine(image[excited].tolist(), digits, row[excited].tolist(), col[excited].tolist())
