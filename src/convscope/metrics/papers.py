"""What the papers measured, from papers.yaml: each table with its source, for our numbers to be set beside."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from convscope.errors import UserError

DATA = Path(__file__).with_name("papers.yaml")


class PrintedNumber(NamedTuple):
    """One printed number. spread: what stands after its ±, None where nothing does."""

    value: float
    spread: float | None = None

    def text(self, form: str = "g") -> str:
        """As a table shows it: "38.4", or "86.5 ± 0.5"."""
        return f"{self.value:{form}}" + ("" if self.spread is None else f" ± {self.spread:{form}}")


class PaperTable(NamedTuple):
    """One table of a paper. source: paper, table, what was measured. rows: name -> a figure for each of `columns`, None
    where the paper prints none.

    bases: rows that others are compared with. runs: names of this program's runs, or nets, -> the rows they repeat.
    ensembles: rows -> how many of which nets they are of.
    """

    key: str
    source: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[PrintedNumber | None, ...]]
    bases: tuple[str, ...] = ()
    runs: Mapping[str, str] = MappingProxyType({})
    ensembles: Mapping[str, Mapping[str, int]] = MappingProxyType({})

    def figure(self, row: str, column: str) -> PrintedNumber | None:
        """Raises UserError for a row or a column that the table does not have."""
        for kind, name, possible in (("row", row, self.rows), ("column", column, self.columns)):
            if name not in possible:
                raise UserError(f"{self.source} has no {kind} {name!r}; possible: {', '.join(possible)}")
        return self.rows[row][self.columns.index(column)]

    def ensemble(self, nets: Iterable[str], crops: str) -> str | None:
        """The row of nets of these kinds together, whatever their number; of several that of these crops, if any."""
        found = [row for row, kinds in self.ensembles.items() if set(kinds) == set(nets)]
        words = {"fifty": "crops"}.get(crops, crops)
        return next((row for row in found if row.endswith(f", {words}")), found[0] if found else None)

    def base(self, row: str) -> str | None:
        """What `row` is compared with: the base that its name begins with, else the first; None for that one."""
        own = [base for base in self.bases if row.startswith(base) and row != base]
        return next((base for base in [*own, *self.bases[:1]] if base != row), None)


@cache
def published_tables() -> Mapping[str, PaperTable]:
    """Every table, by its key in papers.yaml."""
    said = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return MappingProxyType({key: _table(key, table) for key, table in said.items()})


def published_table(key: str) -> PaperTable:
    """The table of that key, such as zf_table3. Raises UserError for another."""
    if key not in published_tables():
        raise UserError(f"no table {key!r} of a paper is known; possible: {', '.join(published_tables())}")
    return published_tables()[key]


def _table(key: str, said: Mapping[str, Any]) -> PaperTable:
    columns, rows = tuple(map(str, said["columns"])), {}
    for name, values in said["rows"].items():
        if len(values) != len(columns):
            raise UserError(f"{DATA.name}: row {name!r} of {key} has {len(values)} values for {len(columns)} columns")
        rows[str(name)] = tuple(map(_figure, values))
    bases, runs = tuple(said.get("bases", ())), said.get("runs", {name: name for name in rows})
    ensembles = said.get("ensembles", {})
    if unknown := {*bases, *runs.values(), *ensembles} - rows.keys():
        raise UserError(f"{DATA.name}: {key} has no row {min(unknown)!r}")
    printed, repeated, together = map(MappingProxyType, (rows, runs, ensembles))
    return PaperTable(key, said["source"], columns, printed, bases, repeated, together)


def _figure(value: Any) -> PrintedNumber | None:
    if value is None:
        return None
    return PrintedNumber(*map(float, value)) if isinstance(value, list) else PrintedNumber(float(value))
