"""job=claims: the paper's claims about convnets, each tested with numbers on one training run."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from convscope.analyses.claims.about import ClaimsConfig
from convscope.analyses.claims.compute import (
    CONVERGENCE,
    DEAD_FILTERS,
    FAILS,
    HOLDS,
    OCCLUSION,
    PARTS,
    PARTS_ABOVE,
    RENORMALIZATION,
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
from convscope.config import Settings
from convscope.data.part_annotations import ImagesWithParts
from convscope.data.shared_passes import process
from convscope.engine.layers import LayerRoles, layer_roles
from convscope.errors import UserError
from convscope.metrics.intervals import interval_text, same_decimals
from convscope.runs.reading import Run, read_run
from convscope.runs.record import Conclusion, Number, Picture, Result, Table
from convscope.runs.training_runs import find_training_runs

TYPE_RUN = "type run=outputs/train/<run>, the folder of a finished job=train"
TYPE_WEIGHTS = "or model=torchvision model.name=<net> model.weights=<file> for a pretrained net"
NO_RUN = f"a pretrained net without its training run cannot tell; {TYPE_RUN}"
FEW = 3  # claims that hold, which the first sentence names
MARKED = 40  # drawn animals whose parts are covered: each takes as many passes as there are masks


def results(inputs: Inputs, config: ClaimsConfig) -> Iterator[Result]:
    """Opens the net of the training run run=..., or a pretrained one, and yields the verdict on each claim.

    Raises UserError for a folder that is no training run's, before its checkpoint is read.
    """
    if config.run is None and inputs.checkpoint_setting is None and inputs.has_learned_weights:
        if config.against is not None:
            raise UserError(f"claims.against={config.against} is compared with a training run; {TYPE_RUN}")
        return claims(inputs.subject(), None, config, inputs.seed, inputs.model)
    if config.run is None:
        raise UserError(f"job=claims tests a training run; {TYPE_RUN}, {TYPE_WEIGHTS}")
    run = Path(config.run).expanduser()
    if not (run / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"run={run} is no folder of a training run: it has no checkpoints/last.ckpt; {TYPE_RUN}")
    return claims(inputs.subject(), run, config, inputs.seed)


def claims(
    subject: Subject, run: Path | None, plan: ClaimsConfig, seed: int, model: Settings | None = None
) -> Iterator[Result]:
    """Yields the number behind each claim, their intervals as a picture, the verdicts and the reasons for them.

    Of several processes the first yields; they share the passes. run: None for a pretrained net, of these settings of
    conf/model; claims on what a training left stay open.
    """
    net = _net_under_test(subject, plan, seed)
    of_runs: Iterable[Claim]
    if run is None:
        of_runs = _untold_by_pretrained_net(plan, net.layers, model or {}, seed)
    else:
        of_runs = _told_by_runs(subject, read_run(run), plan, net.layers, seed)
    by_name = {claim.name: claim for claim in [*of_runs, *_told_by_images(net, plan, seed)]}
    if process().rank:
        return
    tested = [by_name[statement.name] for statement in STATEMENTS]
    yield Conclusion("claims", in_words(tested))
    for claim in tested:
        if claim.n:
            interval = interval_text(claim.value, claim.low, claim.high)
            words = f"{claim.claim}: {claim.verdict}; {claim.statistic}: {interval}"
            yield Number(f"claims/{claim.name}", claim.value, words)
    name, where = (subject.net_name, "of this net") if run is None else (run.name, "in this run")
    caption = f"The interval of each claim in {name}: holds where it lies right of the line"
    figure = forest(bars(tested), f"Do the paper's claims hold {where}?")
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


def _told_by_runs(
    subject: Subject, this_run: Run, plan: ClaimsConfig, layers: LayerRoles, seed: int
) -> Iterator[Claim]:
    """Yields the claims that are tested on what this run and others have left in their folders."""
    others = find_training_runs(plan.folders)
    rivals = [rival for rival in others if rival.folder.resolve() != this_run.folder.resolve()]
    yield histories.convergence(this_run, [name for name, _ in subject.net.named_modules()], seed)
    yield histories.dead_filters(this_run, rivals)
    yield histories.renormalization(this_run, rivals, seed)
    yield histories.depth(this_run, _transfer_folder(plan), layers, seed)


def _untold_by_pretrained_net(plan: ClaimsConfig, layers: LayerRoles, model: Settings, seed: int) -> list[Claim]:
    """The same claims of a net without a training run, of which only that on depth can be tested."""
    open_claims = [unmeasured(statement, NO_RUN) for statement in (CONVERGENCE, DEAD_FILTERS, RENORMALIZATION)]
    return [*open_claims, histories.depth(model, _transfer_folder(plan), layers, seed)]


def _transfer_folder(plan: ClaimsConfig) -> Path | None:
    return Path(plan.transfer).expanduser() if plan.transfer else None


def _told_by_images(net: NetUnderTest, plan: ClaimsConfig, seed: int) -> Iterator[Claim]:
    """Yields the claims that are tested on the net's answers to images."""
    subject, layers = net.subject, net.layers
    examples = subject.examples("val", plan.scored, seed)
    image_distances = distance_to_others(subject.net, examples.image, [layers.first, layers.last])
    sweeps = evidence.sweeps(subject.net, examples, [layers.first, layers.last])
    yield from evidence.invariance(sweeps, layers, image_distances, seed)
    yield from evidence.rotation(sweeps["rotation"], layers.last, image_distances, len(subject.classes), seed)
    yield _occlusion(net, seed)
    yield from _parts(net, seed)


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
            "interval": " to ".join(same_decimals([claim.value, claim.low, claim.high])[1:]) if claim.n > 1 else "",
            "n": claim.n,
        }
        for claim in tested
    ]
    caption = "The claims of the paper: the verdict follows from the 95 % interval of n images, maps or filters"
    return Table("claims/table", rows, caption)


def in_words(tested: Sequence[Claim]) -> str:
    """What came out: how many claims hold and which do not, each with its number."""
    hold, fail = ([claim for claim in tested if claim.verdict == verdict] for verdict in (HOLDS, FAILS))
    words = f"{len(hold)} of the paper's {len(tested)} claims {'holds' if len(hold) == 1 else 'hold'} here"
    words += f", {len(fail)} {'does' if len(fail) == 1 else 'do'} not, and for {len(tested) - len(hold) - len(fail)} "
    words += "there is not enough data."
    for what, of in (("Holds", hold if len(hold) <= FEW else []), ("Does not hold", fail)):
        numbers = [f"{claim.claim} ({interval_text(claim.value, claim.low, claim.high)})" for claim in of]
        words += f" {what}: {'; '.join(numbers)}." if numbers else ""
    return words


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
