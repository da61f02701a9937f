"""The rows of a net as conf/model/<net>.yaml has them.

A net is a mapping of named rows from pixels to classes. A row never states its input: the row above gives it.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from math import lcm
from typing import Any, Literal, get_args

from convscope.errors import UserError, did_you_mean

Activation = Literal["relu", "leaky_relu", "silu", "gelu"]


@dataclass(frozen=True)
class ConvRow:
    """Convolution, batch normalization where `batch_norm` is true, and activation.

    kernel, stride, padding: positions of the map below. groups: shares of the maps that do not see each other
    (AlexNet's two GPUs), `towers` in yaml. bias: the initial bias, that of the norm where there is one; None leaves it
    to the recipe.
    """

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = field(default=1, metadata={"key": "towers"})
    bias: float | None = None
    batch_norm: bool = False
    activation: Activation = "relu"


@dataclass(frozen=True)
class PoolRow:
    """Max pooling. ceil: whether a last window that extends over the edge counts."""

    kernel: int
    stride: int
    padding: int = 0
    ceil: bool = False


@dataclass(frozen=True)
class AvgPoolRow:
    """Average pooling. Positions of the padding count as zeros."""

    kernel: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class GlobalAvgPoolRow:
    """The average of every map over all positions."""


@dataclass(frozen=True)
class LRNRow:
    """Contrast normalization across `size` neighboring maps; alpha is the paper's, not divided by size."""

    size: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True)
class LinearRow:
    """Linear layer, activation and dropout, `kind: full` in yaml.

    The last row has no activation: its units are the classes.
    """

    units: int
    dropout: float = 0.0
    bias: float | None = None
    activation: Activation = "relu"


Row = ConvRow | PoolRow | AvgPoolRow | GlobalAvgPoolRow | LRNRow | LinearRow
LARGEST = 2**31 - 1  # of a row's whole numbers; the memory check refuses large ones that are below it
KINDS: dict[str, type[Row]] = {
    "conv": ConvRow, "pool": PoolRow, "avg_pool": AvgPoolRow, "global_avg_pool": GlobalAvgPoolRow, "lrn": LRNRow,
    "full": LinearRow,
}  # fmt: skip


def read_rows(layers: Mapping[str, Mapping[str, Any] | None], classes: int, width: float = 1.0) -> dict[str, Row]:
    """Rows of a net for `classes` classes, in order, without the rows that are null.

    width: a factor for maps and units of every row but the last, rounded to a multiple of 8. Raises UserError for a row
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
    """The row of one mapping, in which `units: classes` stands for the number of classes. Raises UserError."""
    if not isinstance(row, Mapping) or not isinstance(row.get("kind"), str) or row["kind"] not in KINDS:
        text = f"kind {row.get('kind')}" if isinstance(row, Mapping) else row
        near = did_you_mean(row.get("kind"), KINDS) if isinstance(row, Mapping) else ""
        raise UserError(f"{name}: {text} is unknown{near}; a row has kind: {', '.join(KINDS)}")
    kind = KINDS[row["kind"]]
    legal = {_key(column): column for column in fields(kind)}
    values = {key: value for key, value in row.items() if key != "kind"}
    required = [key for key, column in legal.items() if column.default is MISSING]
    wrong = [f"unknown {key}{did_you_mean(key, legal)}" for key in values if key not in legal]
    wrong += [f"missing {key}" for key in required if values.get(key) is None]
    if wrong:
        article = "an" if row["kind"].startswith("a") else "a"
        raise UserError(
            f"{name}: {', '.join(wrong)}; {article} {row['kind']} row has {', '.join(legal) or 'no fields'}"
        )
    if values.get("units") == "classes":
        values["units"] = classes
    parsed = kind(**{legal[key].name: _value(name, legal[key], value) for key, value in values.items()})
    if isinstance(parsed, PoolRow | AvgPoolRow) and 2 * parsed.padding > parsed.kernel:
        raise UserError(f"{name}: padding {parsed.padding} is more than half the window of {parsed.kernel}")
    return parsed


def plain_rows(rows: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """The mapping from which `read_rows` makes these rows, without the keys that have their default."""
    return {name: _plain(row) for name, row in rows.items()}


def _plain(row: Row) -> dict[str, Any]:
    kind = next(kind for kind, rows in KINDS.items() if isinstance(row, rows))
    values = [(column, getattr(row, column.name)) for column in fields(row)]
    return {"kind": kind, **{_key(column): value for column, value in values if value != column.default}}


def _key(column: Field[Any]) -> str:
    """The key of a row's field in yaml."""
    return column.metadata.get("key", column.name)


def _value(name: str, column: Field[Any], value: Any) -> Any:
    """The value as the field's type. Raises UserError for a value of another type or out of range."""
    if value is None:  # only of fields that have a default: read_row refuses the others
        return column.default
    number = type(value) in (int, float) and abs(value) < 3e38  # of float32; neither inf nor nan
    if column.type is bool:
        legal, expected = isinstance(value, bool), "true or false"
    elif column.type is int:
        lowest = 0 if column.name == "padding" else 1
        legal, expected = type(value) is int and lowest <= value <= LARGEST, f"a whole number from {lowest}"
        expected += f" to {LARGEST}" if type(value) is int and value > LARGEST else ""
    elif column.name == "activation":
        names = get_args(Activation)
        legal, expected = value in names, f"one of {', '.join(names)}{did_you_mean(value, names)}"
    elif column.name == "dropout":
        legal, expected = number and 0 <= value < 1, "from 0 to below 1"
    else:
        legal, expected = number, "a number"
    if not legal:
        raise UserError(f"{name}: {_key(column)} is {value}; it must be {expected}")
    return float(value) if type(value) is int and column.type is not int else value


def _check_order(rows: Mapping[str, Row], classes: int) -> None:
    remedy = f"the last one gives the {classes} classes: {{kind: full, units: classes}}"
    if not rows:
        raise UserError(f"the net has no rows; {remedy}")
    name, last = list(rows.items())[-1]
    if not isinstance(last, LinearRow):
        raise UserError(f"the last row, {name}, is no full row; {remedy}")
    if last.units != classes:
        raise UserError(f"{name}: {last.units} units for {classes} classes; the last row has units: classes")
    if last.activation != "relu":
        raise UserError(f"{name}: the last row gives the classes, without activation; remove its activation")
    if last.dropout:
        raise UserError(f"{name}: the last row gives the classes and drops none of them; remove its dropout")
    first = next(name for name, row in rows.items() if isinstance(row, LinearRow))
    late = [name for name in list(rows)[list(rows).index(first) :] if not isinstance(rows[name], LinearRow)]
    if late:
        raise UserError(f"{late[0]} comes after {first}; rows of maps come before the first full row")


def _scaled(row: Row, width: float) -> Row:
    if width == 1.0 or not isinstance(row, ConvRow | LinearRow):
        return row
    if isinstance(row, LinearRow):
        return replace(row, units=_rounded(row.units * width, 8))
    return replace(row, maps=_rounded(row.maps * width, lcm(8, row.groups)))


def _rounded(count: float, step: int) -> int:
    return max(step, round(count / step) * step)
