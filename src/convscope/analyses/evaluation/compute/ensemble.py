"""Which nets a job=evaluate took and how it evaluated them: recorded in its summary.json, and read back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import ENSEMBLE, EvaluatedNet, image_scales
from convscope.errors import UserError
from convscope.runs.reading import Run, is_run_folder, read_run, read_table

ERROR_COLUMNS = {"val top-1": "top-1", "val top-5": "top-5"}  # job=table's column -> job=evaluate's
METHOD = ("crops", "scales", "image_size", "images")  # keys of the record that say how the nets were evaluated
CLASS_MEAN = "class mean accuracy %"


class Member(NamedTuple):
    """One net: its name in the evaluation's table, the name of the net, its checkpoint, the run and seed behind it."""

    name: str
    net: str
    ckpt: str | None
    run: str | None
    seed: int | None


class Evaluation(NamedTuple):
    """A finished job=evaluate. errors: percent by member's name, or "ensemble", and by column of job=table.

    intervals: the ends of the 95 % interval of val top-1, as text. images: their count, None for the whole split.
    """

    run: Run
    crops: str
    scales: list[int]
    image_size: int
    images: int | None
    members: list[Member]
    errors: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, str]

    @property
    def net_counts(self) -> Counter[str]:
        """How many members there are of each net."""
        return Counter(member.net for member in self.members)


def check_distinct(ckpts: Sequence[str | None]) -> None:
    """Raises UserError where a checkpoint is repeated: it would have two votes."""
    counts = Counter(str(Path(ckpt).expanduser().resolve()) for ckpt in ckpts if ckpt)
    if repeated := [path for path, count in counts.items() if count > 1]:
        raise UserError(
            f"ckpt names {repeated[0]} {counts[repeated[0]]} times; an ensemble is of different nets, name it once"
        )


def ensemble_record(
    nets: Sequence[EvaluatedNet], ckpts: Sequence[str | None], plan: EvaluationConfig
) -> dict[str, Any]:
    """The entry "evaluated" of summary.json: how the nets are evaluated, and where each comes from."""
    data = nets[0].subject.data.settings
    method = {"crops": plan.crops, "scales": image_scales(plan, data), "image_size": data.image_size}
    images = len(plan.images) if isinstance(plan.images, list) else plan.images
    members = [_member(net, ckpt)._asdict() for net, ckpt in zip(nets, ckpts, strict=True)]
    return {**method, "split": plan.split, "images": images, "members": members}


def _member(net: EvaluatedNet, ckpt: str | None) -> Member:
    if not ckpt:
        return Member(net.name, net.subject.net_name, None, None, None)
    path = Path(ckpt).expanduser().resolve()
    folder = path.parent.parent
    if path.parent.name != "checkpoints" or not is_run_folder(folder):
        return Member(net.name, net.subject.net_name, str(path), None, None)
    run = read_run(folder)
    seed = run.settings.get("seed", run.summary.get("seed"))
    return Member(net.name, net.subject.net_name, str(path), str(folder), seed)


def read_evaluation(run: Run) -> Evaluation:
    """Reads the run folder of a job=evaluate. Raises UserError with the reason where it holds no whole evaluation."""
    record = run.summary.get("evaluated")
    if not run.summary.get("finished"):
        raise UserError("the evaluation has not finished")
    if not isinstance(record, Mapping) or not {*METHOD, "split", "members"} <= set(record):
        raise UserError("it does not say which nets it took, being of an older version; evaluate again")
    if record["split"] != "val":
        raise UserError(f"it evaluated images of {record['split']}")
    members = [Member(**fields) for fields in record["members"]]
    errors, intervals = _table_errors(run.folder / "tables/evaluation/table.csv")
    names = [member.name for member in members] + ([ENSEMBLE] if len(members) > 1 else [])
    if absent := [name for name in names if name not in errors]:
        raise UserError(f"its tables/evaluation/table.csv has no whole row of {absent[0]}; evaluate again")
    method = {key: record[key] for key in METHOD}
    return Evaluation(run=run, members=members, errors=errors, intervals=intervals, **method)


def _table_errors(path: Path) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Errors in percent and intervals as text, by net; rows that were cut off are left out."""
    columns = {column: f"{measure} error %" for column, measure in ERROR_COLUMNS.items()}
    columns |= {"class accuracy": CLASS_MEAN}
    header, rows = read_table(path)
    errors, intervals = dict[str, dict[str, float]](), dict[str, str]()
    for cells in (dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)):
        if all(cells.get(name) for name in columns.values()):
            errors[cells["net"]] = {column: float(cells[name]) for column, name in columns.items()}
            intervals[cells["net"]] = cells.get("top-1 error 95 %", "")
    return errors, intervals
