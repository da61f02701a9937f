"""job=claims: the paper's claims about convnets, each tested with numbers on one training run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from convscope.analyses.claims.about import ClaimsConfig
from convscope.analyses.claims.compute import (
    OCCLUSION,
    PARTS,
    PARTS_ABOVE,
    STATEMENTS,
    Claim,
    evidence,
    histories,
    unmeasured,
)
from convscope.analyses.claims.figure import IntervalBar, forest
from convscope.analyses.correspondence.about import CorrespondenceConfig
from convscope.analyses.correspondence.compute import marked_images
from convscope.analyses.inputs import Inputs
from convscope.analyses.invariance.compute import distance_to_others
from convscope.analyses.occlusion.compute.localization import Sample, sample_with_boxes, sample_with_masks
from convscope.analyses.subject import Subject
from convscope.data.part_annotations import ImagesWithParts
from convscope.data.shared_passes import process
from convscope.engine.layers import LayerRoles, layer_roles
from convscope.errors import UserError
from convscope.runs.reading import Run, read_run
from convscope.runs.record import Number, Picture, Result, Table
from convscope.runs.training_runs import find_training_runs

TYPE_RUN = "type run=outputs/train/<run>, the folder of a finished job=train"
MARKED = 40  # drawn animals whose parts are covered: each takes as many passes as there are masks


def results(inputs: Inputs, config: ClaimsConfig) -> Iterator[Result]:
    """Opens the net of the training run run=... and yields the verdict on each claim.

    Raises UserError for a folder that is no training run's, before its checkpoint is read.
    """
    if config.run is None:
        raise UserError(f"job=claims tests a training run; {TYPE_RUN}")
    run = Path(config.run).expanduser()
    if not (run / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"run={run} is no folder of a training run: it has no checkpoints/last.ckpt; {TYPE_RUN}")
    return claims(inputs.subject(), run, config, inputs.seed)


def claims(subject: Subject, run: Path, plan: ClaimsConfig, seed: int) -> Iterator[Result]:
    """Yields the number behind each claim, their intervals as a picture, the verdicts and the reasons for them.

    Of several processes the first yields; they share the passes.
    """
    this_run = read_run(run)
    rivals = [rival for rival in find_training_runs(plan.folders) if rival.folder.resolve() != run.resolve()]
    net = _net_under_test(subject, plan, seed)
    by_name = {claim.name: claim for claim in tested_claims(net, this_run, rivals, plan, seed)}
    if process().rank:
        return
    tested = [by_name[statement.name] for statement in STATEMENTS]
    for claim in tested:
        if claim.n:
            interval = f"{claim.value:.3g} [{claim.low:.3g}, {claim.high:.3g}]"
            words = f"{claim.claim}: {claim.verdict}. {claim.statistic}: {interval}"
            yield Number(f"claims/{claim.name}", claim.value, words)
    caption = f"The interval of each claim in {run.name}: holds where it lies right of the line"
    figure = forest(bars(tested), "Do the paper's claims hold in this run?")
    yield Picture("claims/intervals", figure, caption, plot=True)
    yield verdicts(tested)
    yield reasons(tested)


class NetUnderTest(NamedTuple):
    """A net, the layers that the claims are about, and where objects and parts are in its images.

    objects, parts: None where that is not known. parts: with the settings of what covers them.
    """

    subject: Subject
    layers: LayerRoles
    objects: Sample | None
    parts: tuple[ImagesWithParts, CorrespondenceConfig] | None


def tested_claims(
    net: NetUnderTest, this_run: Run, rivals: Sequence[Run], plan: ClaimsConfig, seed: int
) -> Iterator[Claim]:
    """Yields every claim, as soon as it is tested."""
    subject, layers = net.subject, net.layers
    yield histories.convergence(this_run, [name for name, _ in subject.net.named_modules()], seed)
    yield histories.dead_filters(this_run, rivals)
    yield histories.renormalization(this_run, rivals, seed)
    examples = subject.examples("val", plan.scored, seed)
    image_distances = distance_to_others(subject.net, examples.image, [layers.first, layers.last])
    sweeps = evidence.sweeps(subject.net, examples, [layers.first, layers.last])
    yield from evidence.invariance(sweeps, layers, image_distances, seed)
    yield from evidence.rotation(sweeps["rotation"], layers.last, image_distances, len(subject.classes), seed)
    yield _occlusion(net, seed)
    yield from _parts(net, seed)
    yield histories.depth(this_run, Path(plan.transfer).expanduser() if plan.transfer else None, layers, seed)


def _net_under_test(subject: Subject, plan: ClaimsConfig, seed: int) -> NetUnderTest:
    """Reads csv files before the work, so that a mistake in one is reported at once."""
    layers = layer_roles(subject.net, subject.data.image_shape)
    objects, parts = None, None
    if plan.boxes is not None:
        objects = sample_with_boxes(subject, plan.boxes, plan.scored, seed)
    elif subject.truth is not None:
        objects = sample_with_masks(subject, "val", plan.scored, seed)
    if plan.parts is not None or subject.truth is not None:
        images = None if plan.parts else min(plan.scored, MARKED)
        chosen = CorrespondenceConfig(images=images, parts=plan.parts, only=plan.only or {})
        parts = marked_images(subject, plan.parts, plan.only or {}, images, chosen.split, seed), chosen
    return NetUnderTest(subject, layers, objects, parts)


def _occlusion(net: NetUnderTest, seed: int) -> Claim:
    if net.objects is not None:
        return evidence.occlusion(net.subject.net, net.objects, net.layers.maps, seed)
    missing = "where the objects of these photographs are is not known; type claims.boxes=<csv: path,x0,y0,x1,y1>"
    return unmeasured(OCCLUSION, missing)


def _parts(net: NetUnderTest, seed: int) -> list[Claim]:
    if net.parts is not None:
        return evidence.parts(net.subject.net, *net.parts, net.layers, seed)
    missing = "where the parts of these photographs are is not known; type claims.parts=<csv: path,part,x,y>"
    return [unmeasured(statement, missing) for statement in (PARTS, PARTS_ABOVE)]


def verdicts(tested: Sequence[Claim]) -> Table:
    """The verdict on each claim, with its value and interval."""
    rows = [
        {
            "claim": claim.claim,
            "verdict": claim.verdict,
            "value": claim.value if claim.n else None,
            "interval": f"{claim.low:.3g} to {claim.high:.3g}" if claim.n else "",
            "n": claim.n,
        }
        for claim in tested
    ]
    caption = "The paper's claims in this run: the verdict follows from the 95 % interval of n images, maps or filters"
    return Table("claims/table", rows, caption)


def reasons(tested: Sequence[Claim]) -> Table:
    """The statistic of each claim, where the paper makes it, and what was compared or is missing."""
    rows = [
        {"name": claim.name, "section": claim.section, "measured": claim.statistic, "because": claim.because}
        for claim in tested
    ]
    return Table("claims/reasons", rows, "What each claim was tested by, and what came out or is missing")


def bars(tested: Sequence[Claim]) -> list[IntervalBar]:
    """The claims as bars of the picture."""
    by_name = {statement.name: statement for statement in STATEMENTS}
    return [
        IntervalBar(
            claim.claim, claim.value, claim.low, claim.high, by_name[claim.name].bound, by_name[claim.name].size,
            claim.verdict,
        )
        for claim in tested
    ]  # fmt: skip
