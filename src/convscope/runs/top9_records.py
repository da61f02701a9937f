"""Reads the top-9 records of a run folder, which may be absent, cut off, hostile or of other shapes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from convscope.metrics.convergence import TopImages, is_alive, keep_exciting, overlap_with_previous

NINE = 9
FIELDS = ("score", "image", "row", "col")
DAMAGED = (OSError, SafetensorError, TypeError, ValueError, AttributeError)  # raised for a file that is damaged or lies
LayerRecord = list[np.ndarray]  # score (float32), image, row and col (int64), each [C, 9]


class StrongestImages(NamedTuple):
    """The images that excite one map, strongest first, at most nine. score: in four digits. row, col: of the unit."""

    image: list[int]
    score: list[float]
    row: list[int]
    col: list[int]


def record_path(folder: Path, epoch: int | None) -> Path:
    """The file of an epoch's record. epoch: None for the record of a net that was not trained in this run."""
    return folder / "top9" / ("top9.safetensors" if epoch is None else f"epoch_{epoch:03d}.safetensors")


def read_layer_records(folder: Path, epoch: int | None, fields: Sequence[str] = FIELDS) -> dict[str, LayerRecord]:
    """Layer -> these fields of its record, each [C, 9]; without damaged layers. Empty for a damaged file."""
    try:
        with safe_open(record_path(folder, epoch), "np") as file:
            names = [name.removesuffix(".score") for name in file.keys() if name.endswith(".score")]  # noqa: SIM118
            records = {name: _layer_record(file, name, fields) for name in names}
    except DAMAGED:
        return {}
    return {name: record for name, record in records.items() if record is not None}


def read_layer_record(folder: Path, epoch: int | None, layer: str) -> LayerRecord | None:
    """The record of one layer, without reading the others; None where it is absent or damaged."""
    try:
        with safe_open(record_path(folder, epoch), "np") as file:
            return _layer_record(file, layer, FIELDS)
    except DAMAGED:
        return None


def strongest_images(record: LayerRecord | None, maps: list[int]) -> list[StrongestImages]:
    """The images of each of these maps; empty ones without a record, and for a map that the record lacks."""
    count = 0 if record is None else len(record[0])
    nothing = StrongestImages([], [], [], [])
    return [
        _strongest(*(field[number] for field in record)) if record and number < count else nothing for number in maps
    ]


def dead_maps(record: LayerRecord | None) -> list[int] | None:
    """All maps of the layer that no image excites, also those without a picture; None without a record."""
    return None if record is None else np.flatnonzero(~is_alive(keep_exciting(*record[:2]))).tolist()


def overlap_of_maps(record: LayerRecord | None, previous: LayerRecord | None, maps: list[int]) -> list[float | None]:
    """For each of these maps the share of its images that are in the previous record too, at any rank.

    None without a previous record of the same shape, and for a dead map.
    """
    if record is None or previous is None or record[0].shape != previous[0].shape:
        return [None] * len(maps)
    overlaps = overlap_with_previous(keep_exciting(*previous[:2]), keep_exciting(*record[:2])).tolist()
    shares = dict(enumerate(overlaps))
    return [round(shares[number], 3) if shares.get(number, np.nan) >= 0 else None for number in maps]


def exciting_images(folder: Path, epoch: int) -> dict[str, TopImages]:
    """Layer -> the images [C, 9] that excite its maps at this epoch; without damaged layers."""
    records = read_layer_records(folder, epoch, ("score", "image"))
    return {layer: keep_exciting(*record) for layer, record in records.items()}


def _layer_record(file: Any, layer: str, fields: Sequence[str]) -> LayerRecord | None:
    """These fields of a layer, score first; None where a shape or type is not as in LayerRecord."""
    try:
        score, *places = record = [file.get_tensor(f"{layer}.{name}") for name in fields]
    except DAMAGED:
        return None
    shapes_match = score.ndim == 2 and score.shape[1] == NINE and all(place.shape == score.shape for place in places)
    types_match = score.dtype == np.float32 and all(place.dtype == np.int64 for place in places)
    return record if shapes_match and types_match else None


def _strongest(score: np.ndarray, image: np.ndarray, row: np.ndarray, col: np.ndarray) -> StrongestImages:
    excited = (image >= 0) & (score > 0) & np.isfinite(score)
    digits = [float(f"{value:.4g}") for value in score[excited]]
    return StrongestImages(image[excited].tolist(), digits, row[excited].tolist(), col[excited].tolist())
