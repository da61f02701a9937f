"""settings -> objects -> job -> record: one function per job of the program.

settings: the plain values of conf/, and under "words" the words of the command line. Heavy libraries are imported
inside the functions: a word that is wrong on the command line is answered at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.plans import read_plan
from convscope.problem import Problem

if TYPE_CHECKING:
    from convscope.record import Record, Result
    from convscope.subject import Subject

Settings = dict[str, Any]
Command = Callable[[Settings, Path], None]


def _train(settings: Settings, folder: Path) -> None:
    import pytorch_lightning as pl

    from convscope import assemble, loggers, terminal
    from convscope.jobs.train import Plan, train
    from convscope.learn.classifier import Classifier
    from convscope.learn.recipe import initialize_, read_recipe
    from convscope.learn.start import begin_, parent, read_start
    from convscope.nets.build import ConvNet
    from convscope.record import Record

    start = time.perf_counter()
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    assemble.device(settings["trainer"]["accelerator"])  # told before the images are read, where it is not there
    recipe, choice = read_recipe(settings["optim"]), assemble.choice(settings["evolution"])
    beginning = read_start(settings["model"])
    before = parent(beginning)
    subject = assemble.new(settings, parent=before)
    net, data = subject.net, subject.data
    scale = data.settings.pixel_scale if isinstance(data.settings.pixel_scale, float) else 1.0
    if isinstance(net, ConvNet):
        initialize_(net, recipe, scale)
    begun = begin_(net, beginning, before, data)
    classifier = Classifier(net, recipe, len(data.classes), scale)
    plan = Plan(settings["trainer"], choice, settings["seed"], assemble.description(settings, subject))
    with loggers.opened(_chosen_loggers(settings), folder, settings) as chosen:
        record = Record(folder, chosen)
        facts = assemble.facts(settings, subject) | {"seconds": {"preparation": time.perf_counter() - start}}
        with _concluded(record, facts | ({"start": begun} if begun else {})) as summary:
            terminal.beginning(begun)
            outcome = train(classifier, data, plan, record)
            summary["seconds"]["looking"] = outcome.pop("looking")
            summary.update(outcome)
            terminal.ending(settings["name"], outcome)


def _looking(results: Callable[[Subject, Settings], Iterator[Result]]) -> Command:
    """A job that looks at a finished net: that of a checkpoint, or the one that model=... names."""

    def command(settings: Settings, folder: Path) -> None:
        from convscope import assemble

        start = time.perf_counter()
        subject = _finished(settings)
        facts = assemble.facts(settings, subject) | {"seconds": {"preparation": time.perf_counter() - start}}
        _recorded(results(subject, settings), settings, folder, facts)

    return command


def _finished(settings: Settings) -> Subject:
    """A net that is not trained any more, on its device, with its images."""
    import pytorch_lightning as pl

    from convscope import assemble

    if settings["model"].get("init") and not settings["ckpt"]:
        raise Problem(f"model.init is where a training starts; job={settings['job']} looks at ckpt=<that file>")
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    subject = assemble.saved(settings) if settings["ckpt"] else assemble.new(settings, keep_classes=True)
    subject.net.to(assemble.device(settings["trainer"]["accelerator"])).eval()
    return subject


def _recorded(found: Iterator[Result], settings: Settings, folder: Path, facts: dict[str, Any]) -> None:
    """Every result into the run folder, small tables to the terminal too."""
    from convscope import loggers, terminal
    from convscope.record import Record

    with loggers.opened(_chosen_loggers(settings), folder, settings) as chosen:
        record = Record(folder, chosen)
        with _concluded(record, facts):
            for result in found:
                record.add(result)
                terminal.show(result)


def _visualize(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope import assemble
    from convscope.jobs.visualize import visualize

    choice = assemble.choice(settings["evolution"])
    return visualize(subject.net, subject.data, choice, settings["rule"], settings["seed"])


def _occlude(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.occlude import Occlude, occlude

    return occlude(subject, read_plan(Occlude, "occlude", settings["occlude"]), settings["seed"])


def _invariance(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.invariance import Invariance, invariance

    return invariance(subject, read_plan(Invariance, "invariance", settings["invariance"]), settings["seed"])


def _correspond(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.correspond import correspond
    from convscope.study.correspondence import Correspond

    return correspond(subject, read_plan(Correspond, "correspond", settings["correspond"]), settings["seed"])


def _diagnose(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.diagnose import diagnose
    from convscope.study.examination import Diagnose

    return diagnose(subject, read_plan(Diagnose, "diagnose", settings["diagnose"]), settings["seed"])


def _diagnose_one_or_all(settings: Settings, folder: Path) -> None:
    """One net, or with diagnose.runs all of a sweep, each with its own images; then no net of its own is needed."""
    if settings["diagnose"]["runs"] is None:
        return _looking(_diagnose)(settings, folder)
    from convscope.study.examination import Diagnose
    from convscope.study.first_layers import compare

    def opened(ckpt: Path) -> Subject:
        return _finished({**settings, "ckpt": str(ckpt)})

    runs = Path(settings["diagnose"]["runs"])
    found = compare(runs, opened, read_plan(Diagnose, "diagnose", settings["diagnose"]), settings["seed"])
    about = {name: settings[name] for name in ("job", "name", "seed")}
    _recorded(found, settings, folder, {**about, "runs": str(runs), "seconds": {}})


def _neighbors(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.neighbors import Neighbors, neighbors

    return neighbors(subject, read_plan(Neighbors, "neighbors", settings["neighbors"]), settings["seed"])


def _transfer(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.transfer import transfer
    from convscope.study.transfer import Transfer

    return transfer(subject, read_plan(Transfer, "transfer", settings["transfer"]), settings["seed"])


def _evaluate(settings: Settings, folder: Path) -> None:
    """One net or several, each from its own checkpoint, on the images of the first."""
    from convscope import assemble
    from convscope.jobs.evaluate import evaluate
    from convscope.study.evaluation import Contestant, Evaluate, named

    start, plan = time.perf_counter(), read_plan(Evaluate, "evaluate", settings["evaluate"])
    several = isinstance(settings["ckpt"], list | tuple)
    ckpts = list(settings["ckpt"]) if several else [settings["ckpt"]]
    subjects = [_finished({**settings, "ckpt": ckpt}) for ckpt in ckpts]
    nets = [Contestant(*both) for both in zip(named(ckpts, subjects), subjects, strict=True)]
    facts = assemble.facts(settings, subjects[0]) | {"ckpt": settings["ckpt"]}
    facts["seconds"] = {"preparation": time.perf_counter() - start}
    _recorded(evaluate(nets, plan, settings["seed"]), settings, folder, facts)


def _claims(subject: Subject, settings: Settings) -> Iterator[Result]:
    from convscope.jobs.claims import Claims, claims

    return claims(subject, Path(settings["run"]), read_plan(Claims, "claims", settings["claims"]), settings["seed"])


def _claims_of_run(settings: Settings, folder: Path) -> None:
    """What is wrong with run= is told before its checkpoint is looked for."""
    run, asked = settings["run"], "type run=outputs/train/<run>, the folder of a finished job=train"
    if run is None:
        raise Problem(f"job=claims tests a training run; {asked}")
    if not (Path(run) / "checkpoints" / "last.ckpt").is_file():
        raise Problem(f"run={run} is no folder of a training run: it has no checkpoints/last.ckpt; {asked}")
    _looking(_claims)(settings, folder)


def _overlap(settings: Settings, folder: Path) -> None:
    """No net: two sets of images."""
    from convscope import assemble
    from convscope.jobs.overlap import overlap
    from convscope.study.collection import train_and_val, with_folder
    from convscope.study.overlap import Overlap

    start, plan, data = time.perf_counter(), read_plan(Overlap, "overlap", settings["overlap"]), settings["data"]
    chosen = assemble.data_settings(settings)
    name = Path(data["root"]).name if data.get("root") else data["source"]
    found = assemble.source(data)
    if plan.other is None:
        pair = train_and_val(found, name, plan.size, chosen)
    else:
        pair = with_folder(found, name, Path(plan.other).expanduser(), plan.size, chosen)
    facts = {key: settings[key] for key in ("job", "name", "seed")} | {"data": data["source"], "other": plan.other}
    facts["seconds"] = {"preparation": time.perf_counter() - start}
    device = assemble.device(settings["trainer"]["accelerator"])
    _recorded(overlap(*pair, plan, settings["seed"], device), settings, folder, facts)


def _table(settings: Settings, folder: Path) -> None:
    from convscope.jobs.table import Collect, table

    sweep = settings["sweep"]
    if sweep in (None, "???", []):
        raise Problem("job=table collects runs; type sweep=<a sweep's folder>, such as one of outputs/sweep/")
    folders = [Path(each) for each in (sweep if isinstance(sweep, list) else [sweep])]
    about = {name: settings[name] for name in ("job", "name", "seed")}
    found = table(folders, read_plan(Collect, "table", settings["table"]), folder)
    _recorded(found, settings, folder, {**about, "sweep": [str(each) for each in folders], "seconds": {}})


def _report(settings: Settings, _: Path) -> None:
    from convscope.jobs.report import report

    if settings["run"] is None:
        raise Problem("job=report rebuilds the page of a run; type run=<a run folder>, such as one of outputs/train/")
    print(report(Path(settings["run"])))


JOBS: dict[str, Command] = {
    "train": _train,
    "visualize": _looking(_visualize),
    "occlude": _looking(_occlude),
    "invariance": _looking(_invariance),
    "correspond": _looking(_correspond),
    "diagnose": _diagnose_one_or_all,
    "neighbors": _looking(_neighbors),
    "transfer": _looking(_transfer),
    "evaluate": _evaluate,
    "claims": _claims_of_run,
    "overlap": _overlap,
    "table": _table,
    "report": _report,
}


def _chosen_loggers(settings: Settings) -> dict[str, Any]:
    """conf/logger; of several processes the first one logs."""
    return (settings.get("logger") or {}) if os.environ.get("RANK", "0") == "0" else {}


@contextmanager
def _concluded(record: Record, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Writes summary.json and the page at the end, also of a run that failed; says where to look."""
    from convscope.provenance import commit, versions
    from convscope.report.page import write_page

    start, summary = time.perf_counter(), {"seconds": {}, **facts, "finished": False}
    try:
        yield summary
        summary["finished"] = True
    except Problem as problem:
        summary["problem"] = str(problem)
        raise
    finally:
        if os.environ.get("RANK", "0") == "0":
            seconds = summary["seconds"]
            seconds[summary["job"]] = time.perf_counter() - start - seconds.get("looking", 0)
            rounded = {phase: round(spent, 2) for phase, spent in seconds.items()}
            numbers = {"numbers": record.numbers} if record.numbers else {}
            record.summary({**summary, **numbers, "seconds": rounded, "versions": versions(), "git": commit()})
            print(f"look at {write_page(record.folder)}", flush=True)
