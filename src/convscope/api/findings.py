"""What an analysis found: its pictures, numbers, tables and arrays by name, shown in a notebook and saved."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from convscope.api.notebook import findings_html
from convscope.api.pictures import save_picture, shown_picture
from convscope.errors import UserError, did_you_mean
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Record, Result, Table

LINES = 12  # numbers in a repr
TILES = "images/", "strips/"  # pictures that are tiles for a page alone


class Findings(NamedTuple):
    """What one analysis found, as the job of the same name records it.

    analysis: its name. pictures: PIL images and matplotlib figures, by name. numbers, tables (rows as dicts), arrays
    (tensors by name): by name. results: all of it in its order, with a caption of each.
    """

    analysis: str
    pictures: dict[str, Any]
    numbers: dict[str, float]
    tables: dict[str, list[dict[str, Any]]]
    arrays: dict[str, dict[str, Tensor]]
    results: tuple[Result, ...]

    @property
    def conclusion(self) -> str:
        """What came out, in words; "" where the analysis does not say."""
        return " ".join(result.caption for result in self.results if isinstance(result, Conclusion))

    def figure(self, name: str | None = None) -> Any:
        """One picture, a PIL image or a matplotlib figure; name: in full or its last part, None: the first one.

        Raises UserError for a name that no picture has.
        """
        return shown_picture(self.pictures[self._picture_name(name)])

    def save(self, path: str | Path, name: str | None = None) -> Path:
        """Saves a picture as png, jpg, svg or pdf, by the ending; without an ending all results as a run folder.

        name: which picture, None: the first. Returns the path. Raises UserError for another ending, and where nothing
        can be written.
        """
        path = Path(path).expanduser()
        if path.suffix:
            return save_picture(self.pictures[self._picture_name(name)], path)
        if name is not None:
            raise UserError(f"path={path} has no ending, and name={name!r} is one picture; save it as {path}.png")
        record = Record(path)
        for result in self.results:
            record.add(result)
        record.summary({"job": self.analysis, "name": self.analysis, "finished": True, "numbers": self.numbers})
        return path

    def _picture_name(self, name: str | None) -> str:
        names = self._shown() or list(self.pictures)
        if not names:
            raise UserError(f"{self.analysis} found no picture; it has .tables and .numbers")
        if name is None:
            return names[0]
        same = [picture for picture in self.pictures if name == picture] or [
            picture for picture in names if picture.endswith(f"/{name}")
        ]
        if len(same) != 1:
            ends = [picture.rpartition("/")[2] for picture in names]
            raise UserError(f"no picture {name}{did_you_mean(name, [*names, *ends])}; possible: {', '.join(names)}")
        return same[0]

    def __repr__(self) -> str:
        counts = {"picture": len(self._shown()), "number": len(self.numbers), "table": len(self.tables)}
        counts["set of arrays" if len(self.arrays) == 1 else "sets of arrays"] = len(self.arrays)
        words = [f"{count} {kind}{'s' * (count > 1 and 'set' not in kind)}" for kind, count in counts.items() if count]
        lines = [f"  {name:<{self._width()}}  {value:.4g}" for name, value in list(self.numbers.items())[:LINES]]
        more = [f"  and {len(self.numbers) - LINES} more in .numbers"] if len(self.numbers) > LINES else []
        came_out = [f"  {self.conclusion}"] if self.conclusion else []
        return "\n".join([f"{self.analysis}: {', '.join(words)}", *came_out, *lines, *more])

    def _width(self) -> int:
        return max((len(name) for name in list(self.numbers)[:LINES]), default=0)

    def _shown(self) -> list[str]:
        return [name for name in self.pictures if not name.startswith(TILES)]

    def _repr_html_(self) -> str:
        captioned = [result for result in self.results if isinstance(result, Picture | Number | Table)]
        drawn = [result for result in captioned if not result.name.startswith(TILES)]
        return findings_html(self.analysis, self.conclusion, drawn)


def collect(analysis: str, results: Iterable[Result]) -> Findings:
    """Runs an analysis to its end."""
    findings = Findings(analysis, {}, {}, {}, {}, tuple(results))
    for result in findings.results:
        match result:
            case Picture():
                findings.pictures[result.name] = result.image
            case Number():
                findings.numbers[result.name] = result.value
            case Table():
                findings.tables[result.name] = result.rows
            case Arrays():
                findings.arrays[result.name] = result.tensors
    return findings
