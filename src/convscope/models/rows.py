"""The rows that a net is written in (conf/model/<net>.yaml), and the map sizes that follow from them.

A net is a mapping of named rows from pixels to classes. A row never states its input: that follows from the row above.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from math import lcm
from typing import Any

from convscope.errors import UserError, meant


@dataclass(frozen=True)
class ConvRow:
    """Convolution and ReLU. kernel, stride, padding: positions of the map below.

    towers: groups that see only their own share of the maps below (AlexNet's two GPUs). bias: where it starts if the
    net fixes it; None leaves it to the recipe.
    """

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0
    towers: int = 1
    bias: float | None = None


@dataclass(frozen=True)
class PoolRow:
    """Max pooling. ceil: a last window that hangs over the edge counts."""

    kernel: int
    stride: int
    padding: int = 0
    ceil: bool = False


@dataclass(frozen=True)
class LRNRow:
    """Contrast normalization across `size` neighboring maps; alpha as in the paper, not divided by size."""

    size: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True)
class LinearRow:
    """Fully connected units, ReLU and dropout; the last row of a net is linear and its units are the classes."""

    units: int
    dropout: float = 0.0
    bias: float | None = None


Row = ConvRow | PoolRow | LRNRow | LinearRow
LARGEST = 2**31 - 1  # of a row's whole numbers; what is near it is told by the memory that it needs
KINDS: dict[str, type[Row]] = {"conv": ConvRow, "pool": PoolRow, "lrn": LRNRow, "full": LinearRow}


def read_rows(layers: Mapping[str, Mapping[str, Any] | None], classes: int, width: float = 1.0) -> dict[str, Row]:
    """The rows of a net for `classes` classes, in order; rows that are null are left out.

    width multiplies maps and units of every row but the last, rounded to a multiple of 8. Raises UserError for a row
    that cannot be read and for an order of rows that makes no classifier.
    """
    if type(width) not in (int, float) or not 0 < width <= LARGEST:
        raise UserError(f"model.width={width} must be positive, e.g. model.width=0.25")
    if not isinstance(layers, Mapping):
        raise UserError(f"model.layers={layers} are no rows; e.g. conv1: {{kind: conv, maps: 96, kernel: 7}}")
    rows = {str(name): read_row(name, row, classes) for name, row in layers.items() if row is not None}
    _check_order(rows, classes)
    last = next(reversed(rows))
    return {name: row if name == last else _scaled(row, width) for name, row in rows.items()}


def read_row(name: str, row: Mapping[str, Any], classes: int) -> Row:
    """One row from its mapping; `units: classes` becomes the number of classes."""
    if not isinstance(row, Mapping) or not isinstance(row.get("kind"), str) or row["kind"] not in KINDS:
        given = f"kind {row.get('kind')}" if isinstance(row, Mapping) else row
        near = meant(row.get("kind"), KINDS) if isinstance(row, Mapping) else ""
        raise UserError(f"{name}: {given} is unknown{near}; a row has kind: {', '.join(KINDS)}")
    kind = KINDS[row["kind"]]
    legal = {field.name: field for field in fields(kind)}
    values = {key: value for key, value in row.items() if key != "kind"}
    required = [key for key, field in legal.items() if field.default is MISSING]
    wrong = [f"unknown {key}{meant(key, legal)}" for key in values if key not in legal]
    wrong += [f"missing {key}" for key in required if values.get(key) is None]
    if wrong:
        raise UserError(f"{name}: {', '.join(wrong)}; a {row['kind']} row has {', '.join(legal)}")
    if values.get("units") == "classes":
        values["units"] = classes
    read = kind(**{key: _value(name, legal[key], value) for key, value in values.items()})
    if isinstance(read, PoolRow) and 2 * read.padding > read.kernel:
        raise UserError(f"{name}: padding {read.padding} is more than half the window of {read.kernel}")
    return read


def plain_rows(rows: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """The mapping that `read_rows` reads these rows from, without the fields that have their default."""
    return {name: _plain(row) for name, row in rows.items()}


def _plain(row: Row) -> dict[str, Any]:
    kind = next(kind for kind, rows in KINDS.items() if isinstance(row, rows))
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    changed = [field.name for field in fields(row) if values[field.name] != field.default]
    return {"kind": kind, **{name: values[name] for name in changed}}


def map_sizes(rows: Mapping[str, Row], image_size: int) -> dict[str, tuple[int, int]]:
    """(maps, side) of what every row puts out for a square color image; a full row has its units and side 1.

    Raises UserError where a window does not fit, naming the row, both sizes and the smallest image that is large
    enough.
    """
    maps, side, below = 3, image_size, "image"
    sizes: dict[str, tuple[int, int]] = {}
    for name, row in rows.items():
        left, side = side, _side(row, side)
        if isinstance(row, ConvRow | PoolRow) and not side:
            raise UserError(
                f"{name}: a window of {row.kernel} is larger than the {left} x {left} {below}; "
                f"this net needs data.image_size={_enough(rows, image_size)} or more"
            )
        if isinstance(row, ConvRow) and (maps % row.towers or row.maps % row.towers):
            raise UserError(f"{name}: {row.towers} towers cannot share {maps} maps below and {row.maps} of its own")
        if isinstance(row, LRNRow) and row.size > 2 * maps + 1:
            raise UserError(
                f"{name}: size {row.size} reaches beyond the {maps} maps below; {2 * maps + 1} covers them all"
            )
        maps = row.maps if isinstance(row, ConvRow) else row.units if isinstance(row, LinearRow) else maps
        sizes[name] = maps, side
        below = f"map that {name} leaves"
    return sizes


def _side(row: Row, side: int) -> int:
    """Side of the map above a map of `side`; 0 where the window does not fit."""
    if not isinstance(row, ConvRow | PoolRow):
        return 1 if isinstance(row, LinearRow) else side
    room = side + 2 * row.padding - row.kernel
    if room < 0 or not isinstance(row, PoolRow) or not row.ceil:
        return max(0, room // row.stride + 1)
    windows = -(-room // row.stride) + 1
    last_is_outside = (windows - 1) * row.stride >= side + row.padding
    return windows - 1 if last_is_outside else windows


def _enough(rows: Mapping[str, Row], image_size: int) -> int:
    """The smallest image, larger than image_size, on which every window fits."""

    def fits(side: int) -> bool:
        return all(side := _side(row, side) for row in rows.values())

    most = image_size + 1
    while not fits(most):  # a window of a million is found in twenty steps, not in a million
        image_size, most = most, 2 * most
    while most - image_size > 1:
        middle = (image_size + most) // 2
        image_size, most = (image_size, middle) if fits(middle) else (middle, most)
    return most


def _value(name: str, field: Field[Any], value: Any) -> Any:
    """The value as the field's type; UserError where it is none of its values."""
    if value is None:  # comes here only for fields that have a default
        return field.default
    number = type(value) in (int, float) and abs(value) < 3e38  # of float32; neither inf nor nan
    if field.type is bool:
        legal, expected = isinstance(value, bool), "true or false"
    elif field.type is int:
        least = 0 if field.name == "padding" else 1
        legal, expected = type(value) is int and least <= value <= LARGEST, f"a whole number from {least}"
        expected += f" to {LARGEST}" if type(value) is int and value > LARGEST else ""
    elif field.name == "dropout":
        legal, expected = number and 0 <= value < 1, "from 0 to below 1"
    else:
        legal, expected = number, "a number"
    if not legal:
        raise UserError(f"{name}: {field.name} is {value}; it must be {expected}")
    return value if field.type in (bool, int) else float(value)


def _check_order(rows: Mapping[str, Row], classes: int) -> None:
    wanted = f"the last one gives the {classes} classes: {{kind: full, units: classes}}"
    if not rows:
        raise UserError(f"the net has no rows; {wanted}")
    name, last = list(rows.items())[-1]
    if not isinstance(last, LinearRow):
        raise UserError(f"the last row, {name}, is no full row; {wanted}")
    if last.units != classes:
        raise UserError(f"{name}: {last.units} units for {classes} classes; the last row has units: classes")
    if last.dropout:
        raise UserError(f"{name}: the last row gives the classes and drops none of them; remove its dropout")
    first = next(name for name, row in rows.items() if isinstance(row, LinearRow))
    late = [name for name in list(rows)[list(rows).index(first) :] if not isinstance(rows[name], LinearRow)]
    if late:
        raise UserError(f"{late[0]} comes after {first}; rows of maps come before the first full row")


def _scaled(row: Row, width: float) -> Row:
    if width == 1.0 or isinstance(row, PoolRow | LRNRow):
        return row
    if isinstance(row, LinearRow):
        return replace(row, units=_rounded(row.units * width, 8))
    return replace(row, maps=_rounded(row.maps * width, lcm(8, row.towers)))


def _rounded(count: float, step: int) -> int:
    return max(step, round(count / step) * step)


def weight_counts(rows: Mapping[str, Row], image_size: int) -> dict[str, int]:
    """Weights and biases of each row that has any. Raises UserError as map_sizes does."""
    counts, (maps, side) = {}, (3, image_size)
    for (name, row), above in zip(rows.items(), map_sizes(rows, image_size).values(), strict=True):
        if isinstance(row, ConvRow):
            counts[name] = row.maps * (maps // row.towers * row.kernel**2 + 1)
        if isinstance(row, LinearRow):
            counts[name] = row.units * (maps * side**2 + 1)
        maps, side = above
    return counts


def unit_counts(rows: Mapping[str, Row], image_size: int) -> dict[str, int]:
    """Numbers that each row puts out for one image."""
    return {name: maps * side**2 for name, (maps, side) in map_sizes(rows, image_size).items()}
