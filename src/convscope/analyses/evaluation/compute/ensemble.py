"""What job=evaluate leaves in its run folder of the nets it took and how, and how that is read back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import ENSEMBLE, Contestant, scales_of
from convscope.errors import UserError
from convscope.runs.reading import Run, is_run_folder, read_run, read_table

MEASURED = {"val top-1": "top-1", "val top-5": "top-5"}  # job=table's column -> job=evaluate's
WAY = ("crops", "scales", "image_size", "images")
CLASS_MEAN = "class mean accuracy %"


class Member(NamedTuple):
    """One net: as the evaluation's table calls it, which net it is, its checkpoint, the run and seed it comes from."""

    name: str
    net: str
    ckpt: str | None
    run: str | None
    seed: int | None


class Evaluation(NamedTuple):
    """A finished job=evaluate. errors: by member's name, or "ensemble", percent by column of job=table.

    ends: the ends of the 95 % interval of its val top-1, as text. images: how many, None for all of the split.
    """

    run: Run
    crops: str
    scales: list[int]
    image_size: int
    images: int | None
    members: list[Member]
    errors: Mapping[str, Mapping[str, float]]
    ends: Mapping[str, str]

    @property
    def kinds(self) -> Counter[str]:
        """How many of the members are which net."""
        return Counter(member.net for member in self.members)


def check_distinct(ckpts: Sequence[str | None]) -> None:
    """UserError where one checkpoint stands twice: it would have two votes."""
    counted = Counter(str(Path(ckpt).expanduser().resolve()) for ckpt in ckpts if ckpt)
    if twice := [path for path, count in counted.items() if count > 1]:
        raise UserError(
            f"ckpt names {twice[0]} {counted[twice[0]]} times; an ensemble is of different nets, name it once"
        )


def about(nets: Sequence[Contestant], ckpts: Sequence[str | None], plan: EvaluationConfig) -> dict[str, Any]:
    """For summary.json: how the nets are evaluated, and where each comes from."""
    images = nets[0].subject.data.settings
    way: dict[str, Any] = {"crops": plan.crops, "scales": scales_of(plan, images), "image_size": images.image_size}
    way |= {"split": plan.split}
    few = len(plan.images) if isinstance(plan.images, list) else plan.images
    found = [_member(net, ckpt)._asdict() for net, ckpt in zip(nets, ckpts, strict=True)]
    return {**way, "images": few, "members": found}


def _member(net: Contestant, ckpt: str | None) -> Member:
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
    """Of the run folder of a job=evaluate. Raises UserError, saying why, for one that holds no whole evaluation."""
    told = run.summary.get("evaluated")
    if not run.summary.get("finished"):
        raise UserError("the evaluation has not finished")
    if not isinstance(told, Mapping) or not {*WAY, "split", "members"} <= set(told):
        raise UserError("it does not say which nets it took, being of an older version; evaluate again")
    if told["split"] != "val":
        raise UserError(f"it evaluated images of {told['split']}")
    members = [Member(**each) for each in told["members"]]
    errors, ends = _errors(run.folder / "tables/evaluation/table.csv")
    names = [member.name for member in members] + ([ENSEMBLE] if len(members) > 1 else [])
    if absent := [name for name in names if name not in errors]:
        raise UserError(f"its tables/evaluation/table.csv has no whole row of {absent[0]}; evaluate again")
    way = {key: told[key] for key in WAY}
    return Evaluation(run=run, members=members, errors=errors, ends=ends, **way)


def _errors(path: Path) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """By net; rows that were cut off are left out."""
    header, rows = read_table(path)
    errors, ends = dict[str, dict[str, float]](), dict[str, str]()
    for cells in (dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)):
        columns = {column: f"{words} error %" for column, words in MEASURED.items()} | {"class accuracy": CLASS_MEAN}
        if all(cells.get(name) for name in columns.values()):
            errors[cells["net"]] = {column: float(cells[name]) for column, name in columns.items()}
            ends[cells["net"]] = cells.get("top-1 error 95 %", "")
    return errors, ends
