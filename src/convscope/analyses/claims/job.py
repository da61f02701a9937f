"""job=claims: the paper's claims about convnets as tests with numbers on one training run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.claims.compute import (
    COVER,
    PARTS,
    PARTS_ABOVE,
    STATEMENTS,
    Claim,
    depth,
    evidence,
    histories,
    unmeasured,
)
from convscope.analyses.claims.figure import Bar, forest
from convscope.analyses.correspondence.job.table1 import Correspond, marked_images
from convscope.analyses.invariance.compute import strangers
from convscope.analyses.occlusion.job.localization import Sample, on_boxes, on_masks
from convscope.analyses.subject import Subject
from convscope.data.part_annotations import ImagesWithParts
from convscope.engine.hidden_layers import Hidden, hidden
from convscope.errors import UserError
from convscope.runs.config_diff import runs_in
from convscope.runs.reading import Run, read_run
from convscope.runs.record import Number, Picture, Result, Table

MARKED = 40  # drawn animals whose parts are covered: each takes as many passes as there are masks


@dataclass(frozen=True)
class Claims:
    """conf/job/claims.yaml: how many images, and what else is known of images and runs."""

    scored: int = 100
    against: str | list[str] | None = None
    boxes: str | None = None
    parts: str | None = None
    only: dict[str, Any] | None = None
    transfer: str | None = None

    def __post_init__(self) -> None:
        if self.scored < 2:
            raise UserError(f"claims.scored={self.scored} tells nothing; take 6 images or more, e.g. claims.scored=100")
        for key in ("boxes", "parts"):
            path = getattr(self, key)
            if path is not None and not Path(path).expanduser().is_file():
                raise UserError(f"claims.{key}={path} is no file; see conf/job/claims.yaml for what it holds")

    @property
    def folders(self) -> list[Path]:
        """Of the other runs."""
        named = [self.against] if isinstance(self.against, str) else self.against or []
        return [Path(name).expanduser() for name in named]


def claims(subject: Subject, run: Path, plan: Claims, seed: int) -> Iterator[Result]:
    """Yields the number behind each claim, their intervals as a picture, the verdicts and what they rest on."""
    own, others = read_run(run), runs_in(plan.folders)
    rivals = [other for other in others if other.folder.resolve() != run.resolve()]
    layers = hidden(subject.net, subject.data.settings.image_size)
    known = _known(subject, plan, seed)
    found = list(tested(subject, (own, rivals), (layers, known), plan, seed))
    told = {claim.name: claim for claim in found}
    found = [told[statement.name] for statement in STATEMENTS]
    for claim in found:
        if claim.n:
            came = f"{claim.value:.3g} [{claim.low:.3g}, {claim.high:.3g}]"
            yield Number(
                f"claims/{claim.name}", claim.value, f"{claim.claim}: {claim.verdict}. {claim.statistic}: {came}"
            )
    caption = f"The interval of each claim in {run.name}: holds where it lies right of the line"
    yield Picture(
        "claims/intervals", forest(bars(found), "Do the paper's claims hold in this run?"), caption, plot=True
    )
    yield verdicts(found)
    yield reasons(found)


class Known(NamedTuple):
    """What is known of the images, None where it is not: objects, and parts with what covers them."""

    objects: Sample | None
    parts: tuple[ImagesWithParts, Correspond] | None


def tested(
    subject: Subject, runs: tuple[Run, Sequence[Run]], what: tuple[Hidden, Known], plan: Claims, seed: int
) -> Iterator[Claim]:
    """Every claim, as it is tested."""
    (own, rivals), (layers, known) = runs, what
    yield histories.settling(own, [name for name, _ in subject.net.named_modules()], seed)
    yield histories.dead_filters(own, rivals)
    yield histories.renormalization(own, rivals, seed)
    examples = subject.examples("val", plan.scored, seed)
    others = strangers(subject.net, examples.image, [layers.first, layers.last])
    sweeps = evidence.sweeps(subject.net, examples, [layers.first, layers.last])
    yield from evidence.invariance(sweeps, layers, others, seed)
    yield from evidence.rotation(sweeps["rotation"], layers.last, others, len(subject.classes), seed)
    yield _occlusion(subject, known, layers, seed)
    yield from _parts(subject, known, layers, seed)
    yield depth.deeper(own, Path(plan.transfer).expanduser() if plan.transfer else None, layers, seed)


def _known(subject: Subject, plan: Claims, seed: int) -> Known:
    """Read before the work, so that what is wrong with a csv is told at once."""
    objects, parts = None, None
    if plan.boxes is not None:
        objects = on_boxes(subject, plan.boxes, plan.scored, seed)
    elif subject.truth is not None:
        objects = on_masks(subject, "val", plan.scored, seed)
    if plan.parts is not None or subject.truth is not None:
        images = None if plan.parts else min(plan.scored, MARKED)
        chosen = Correspond(images=images, parts=plan.parts, only=plan.only or {})
        parts = marked_images(subject, chosen, seed), chosen
    return Known(objects, parts)


def _occlusion(subject: Subject, known: Known, layers: Hidden, seed: int) -> Claim:
    if known.objects is not None:
        return evidence.occlusion(subject.net, known.objects, layers.maps, seed)
    missing = "where the objects of these photographs are is not known; type claims.boxes=<csv: path,x0,y0,x1,y1>"
    return unmeasured(COVER, missing)


def _parts(subject: Subject, known: Known, layers: Hidden, seed: int) -> list[Claim]:
    if known.parts is not None:
        return evidence.parts(subject.net, *known.parts, layers, seed)
    missing = "where the parts of these photographs are is not known; type claims.parts=<csv: path,part,x,y>"
    return [unmeasured(statement, missing) for statement in (PARTS, PARTS_ABOVE)]


def verdicts(found: Sequence[Claim]) -> Table:
    """What became of each claim."""
    rows = [
        {
            "claim": claim.claim,
            "verdict": claim.verdict,
            "value": claim.value if claim.n else None,
            "interval": f"{claim.low:.3g} to {claim.high:.3g}" if claim.n else "",
            "n": claim.n,
        }
        for claim in found
    ]
    caption = "The paper's claims in this run: the verdict follows from the 95 % interval of n images, maps or filters"
    return Table("claims/table", rows, caption)


def reasons(found: Sequence[Claim]) -> Table:
    """What was measured for each claim, where the paper makes it, and what was compared or is missing."""
    rows = [
        {"name": claim.name, "section": claim.section, "measured": claim.statistic, "because": claim.because}
        for claim in found
    ]
    return Table("claims/reasons", rows, "What each claim was tested by, and what came out or is missing")


def bars(found: Sequence[Claim]) -> list[Bar]:
    """The claims as the picture shows them."""
    about = {statement.name: statement for statement in STATEMENTS}
    return [Bar(c.claim, c.value, c.low, c.high, about[c.name].bound, about[c.name].size, c.verdict) for c in found]
