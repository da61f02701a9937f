"""The numbers that papers print, from papers.yaml: each table with its source, to compare this program's with."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from convscope.errors import UserError

DATA = Path(__file__).with_name("papers.yaml")


class PrintedNumber(NamedTuple):
    """One printed number. spread: the number after its ±, None where the paper prints none."""

    value: float
    spread: float | None = None

    def text(self, form: str = "g") -> str:
        """As a table shows it: "38.4", or "86.5 ± 0.5"."""
        return f"{self.value:{form}}" + ("" if self.spread is None else f" ± {self.spread:{form}}")


class PaperTable(NamedTuple):
    """One table of a paper.

    source: paper, table, what was measured. rows: name -> a number for each of `columns`, None where the paper prints
    none. bases: rows that other rows are compared with. runs: names of this program's runs, or nets -> the rows that
    they repeat. ensembles: rows -> the nets of the ensemble, name -> count.
    """

    key: str
    source: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[PrintedNumber | None, ...]]
    bases: tuple[str, ...] = ()
    runs: Mapping[str, str] = MappingProxyType({})
    ensembles: Mapping[str, Mapping[str, int]] = MappingProxyType({})

    def figure(self, row: str, column: str) -> PrintedNumber | None:
        """The number in a row and a column. Raises UserError where the table does not have them."""
        for kind, name, possible in (("row", row, self.rows), ("column", column, self.columns)):
            if name not in possible:
                raise UserError(f"{self.source} has no {kind} {name!r}; possible: {', '.join(possible)}")
        return self.rows[row][self.columns.index(column)]

    def ensemble(self, nets: Iterable[str], crops: str) -> str | None:
        """The row of an ensemble of these nets, whatever their number; None where there is none.

        crops: decides among several rows ("dense", "fifty", "both"); the first row where no row is of these crops.
        """
        matches = [row for row, kinds in self.ensembles.items() if set(kinds) == set(nets)]
        suffix = {"fifty": "crops"}.get(crops, crops)
        return next((row for row in matches if row.endswith(f", {suffix}")), matches[0] if matches else None)

    def base(self, row: str) -> str | None:
        """The base that `row` is compared with: one that its name begins with, else the first; None for the first."""
        prefixes = [base for base in self.bases if row.startswith(base) and row != base]
        return next((base for base in [*prefixes, *self.bases[:1]] if base != row), None)


@cache
def published_tables() -> Mapping[str, PaperTable]:
    """All tables, by their keys in papers.yaml."""
    entries = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return MappingProxyType({key: _table(key, entry) for key, entry in entries.items()})


def published_table(key: str) -> PaperTable:
    """The table with this key, such as zf_table3. Raises UserError where papers.yaml does not have it."""
    if key not in published_tables():
        raise UserError(f"no table {key!r} of a paper is known; possible: {', '.join(published_tables())}")
    return published_tables()[key]


def _table(key: str, entry: Mapping[str, Any]) -> PaperTable:
    columns, rows = tuple(map(str, entry["columns"])), {}
    for name, values in entry["rows"].items():
        if len(values) != len(columns):
            raise UserError(f"{DATA.name}: row {name!r} of {key} has {len(values)} values for {len(columns)} columns")
        rows[str(name)] = tuple(map(_printed, values))
    bases, runs = tuple(entry.get("bases", ())), entry.get("runs", {name: name for name in rows})
    ensembles = entry.get("ensembles", {})
    if unknown := {*bases, *runs.values(), *ensembles} - rows.keys():
        raise UserError(f"{DATA.name}: {key} has no row {min(unknown)!r}")
    frozen_rows, frozen_runs, frozen_ensembles = map(MappingProxyType, (rows, runs, ensembles))
    return PaperTable(key, entry["source"], columns, frozen_rows, bases, frozen_runs, frozen_ensembles)


def _printed(value: Any) -> PrintedNumber | None:
    if value is None:
        return None
    return PrintedNumber(*map(float, value)) if isinstance(value, list) else PrintedNumber(float(value))
