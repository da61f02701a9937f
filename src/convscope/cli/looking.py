"""The jobs that look at a finished net, or at several: that of a checkpoint, or the one that model=... names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from convscope.cli.recording import Command, Settings, about_run, recorded
from convscope.config import read_plan
from convscope.errors import UserError

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject
    from convscope.runs.record import Result


def looking(
    results: Callable[[Subject, Settings], Iterator[Result]],
    cautions: Callable[[Subject, Settings], Settings] = lambda *_: {},
) -> Command:
    """A job that looks at a finished net: that of a checkpoint, or the one that model=... names.

    cautions: what the summary says of the job beside the facts, told before the results.
    """

    def command(settings: Settings, folder: Path) -> None:
        from convscope.cli.facts import run_facts

        start = time.perf_counter()
        subject = finished(settings)
        facts = run_facts(settings, subject) | about_run(settings, folder) | cautions(subject, settings)
        facts["seconds"] = {"preparation": time.perf_counter() - start}
        recorded(results(subject, settings), settings, folder, facts, [subject])

    return command


def finished(settings: Settings) -> Subject:
    """A net that is not trained any more, on its device, with its images."""
    import pytorch_lightning as pl

    from convscope.analyses.subject import new_subject, saved_subject
    from convscope.cli.facts import net_device

    if settings["model"].get("init") and not settings["ckpt"]:
        raise UserError(f"model.init is where a training starts; job={settings['job']} looks at ckpt=<that file>")
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    subject = saved_subject(settings) if settings["ckpt"] else new_subject(settings, keep_classes=True)
    subject.net.to(net_device(settings["trainer"]["accelerator"])).eval()
    return subject


def _visualize(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.visualize.job import visualize
    from convscope.cli.facts import evolution_choice

    choice = evolution_choice(settings["evolution"])
    return visualize(subject.net, subject.data, choice, settings["rule"], settings["seed"])


def _occlude(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.occlusion.job import Occlude, occlude

    return occlude(subject, read_plan(Occlude, "occlude", settings["occlude"]), settings["seed"])


def _invariance(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.invariance.job import Invariance, invariance

    return invariance(subject, read_plan(Invariance, "invariance", settings["invariance"]), settings["seed"])


def _correspond(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.correspondence.job import correspond
    from convscope.analyses.correspondence.job.table1 import Correspond

    return correspond(subject, read_plan(Correspond, "correspond", settings["correspond"]), settings["seed"])


def _diagnose(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.diagnosis.job import diagnose
    from convscope.analyses.diagnosis.job.examination import Diagnose

    return diagnose(subject, read_plan(Diagnose, "diagnose", settings["diagnose"]), settings["seed"])


def _neighbors(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.neighbors.job import Neighbors, neighbors

    return neighbors(subject, read_plan(Neighbors, "neighbors", settings["neighbors"]), settings["seed"])


def _transfer(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.transfer.compute import Transfer
    from convscope.analyses.transfer.job import transfer

    plan = read_plan(Transfer, "transfer", settings["transfer"])
    return transfer(subject, plan, settings["seed"], _beside(subject, plan.beside or [], settings))


def _own_images(subject: Subject, settings: Settings) -> Settings:
    """The warning that images tell nothing of transfer where the net was trained on them."""
    from convscope.cli import terminal

    if not subject.own_images:
        return {}
    warning = (
        "the net was trained on these very images: how well its features tell them apart says nothing of other images; "
        "type data=<other images>, e.g. data=folder data.root=/photos"
    )
    terminal.show_warning(warning)
    return {"warnings": [warning], "own_images": True}


def _beside(subject: Subject, names: list[str], settings: Settings) -> dict[str, Subject]:
    """The nets of transfer.beside: random weights, where the net's own are not, and those of checkpoints."""
    from convscope.analyses.evaluation.compute import table_names
    from convscope.analyses.subject import untrained_subject
    from convscope.analyses.transfer.compute import RANDOM

    ckpts = [name for name in names if name != RANDOM]
    others = [finished({**settings, "ckpt": ckpt}) for ckpt in ckpts]
    found = dict(zip(table_names(ckpts, others), others, strict=True)) if others else {}
    if RANDOM in names and (settings["ckpt"] or settings["model"].get("weights")):
        net = untrained_subject(settings).to(subject.device).eval()
        found["random weights"] = subject._replace(net=net, own_images=False)
    return found


def _claims(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.analyses.claims.job import Claims, claims

    return claims(
        subject, Path(settings["run"]).expanduser(), read_plan(Claims, "claims", settings["claims"]), settings["seed"]
    )


def _diagnose_one_or_all(settings: Settings, folder: Path) -> None:
    """One net, or with diagnose.runs all of a sweep, each with its own images; then no net of its own is needed."""
    if settings["diagnose"]["runs"] is None:
        return looking(_diagnose)(settings, folder)
    from convscope.analyses.diagnosis.job.examination import Diagnose
    from convscope.analyses.diagnosis.job.first_layers import compare

    def opened(ckpt: Path) -> Subject:
        return finished({**settings, "ckpt": str(ckpt)})

    runs = Path(settings["diagnose"]["runs"]).expanduser()
    found = compare(runs, opened, read_plan(Diagnose, "diagnose", settings["diagnose"]), settings["seed"])
    about = {name: settings[name] for name in ("job", "name", "seed")}
    recorded(found, settings, folder, {**about, "runs": str(runs), "seconds": {}})


def _claims_of_run(settings: Settings, folder: Path) -> None:
    """What is wrong with run= is told before its checkpoint is looked for."""
    run, asked = settings["run"], "type run=outputs/train/<run>, the folder of a finished job=train"
    if run is None:
        raise UserError(f"job=claims tests a training run; {asked}")
    if not (Path(run).expanduser() / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"run={run} is no folder of a training run: it has no checkpoints/last.ckpt; {asked}")
    looking(_claims)(settings, folder)


def _evaluate(settings: Settings, folder: Path) -> None:
    """One net or several, each from its own checkpoint, on the images of the first."""
    from convscope.analyses.evaluation.compute import Evaluate, EvaluatedNet, table_names
    from convscope.analyses.evaluation.compute.ensemble import check_distinct, ensemble_record
    from convscope.analyses.evaluation.job import evaluate
    from convscope.cli.facts import run_facts

    start, plan = time.perf_counter(), read_plan(Evaluate, "evaluate", settings["evaluate"])
    several = isinstance(settings["ckpt"], list | tuple)
    ckpts = list(settings["ckpt"]) if several else [settings["ckpt"]]
    check_distinct(ckpts)
    subjects = [finished({**settings, "ckpt": ckpt}) for ckpt in ckpts]
    nets = [EvaluatedNet(*both) for both in zip(table_names(ckpts, subjects), subjects, strict=True)]
    facts = run_facts(settings, subjects[0]) | {
        "ckpt": settings["ckpt"],
        "evaluated": ensemble_record(nets, ckpts, plan),
    }
    facts |= about_run(settings, folder) | {"seconds": {"preparation": time.perf_counter() - start}}
    recorded(evaluate(nets, plan, settings["seed"]), settings, folder, facts, subjects)


LOOKING: dict[str, Command] = {
    "visualize": looking(_visualize),
    "occlude": looking(_occlude),
    "invariance": looking(_invariance),
    "correspond": looking(_correspond),
    "diagnose": _diagnose_one_or_all,
    "neighbors": looking(_neighbors),
    "transfer": looking(_transfer, _own_images),
    "evaluate": _evaluate,
    "claims": _claims_of_run,
}
