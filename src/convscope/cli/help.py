"""The text of `python src/run.py --help`, from the first lines of the files in conf/. Imports nothing slow."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from convscope.errors import UserError

GROUPS = {
    "job": "Jobs",
    "model": "Nets",
    "data": "Images",
    "optim": "Recipes of training",
    "trainer": "Where and how long",
    "logger": "Loggers, several as logger='[wandb,tensorboard]'",
    "evolution": "When to look inside the net",
    "experiment": "Experiments, several choices under one name",
    "hydra/launcher": "Where a sweep (-m) runs, also joblib and submitit_local",
}
DEFAULTS = ["job=train", "model=zfnet", "data=critters", "optim=quick"]
KEYS = {
    "model.width": "multiplies the maps and units of every row but the last",
    "model.layers.<row>.<field>": "changes a field of one row of the net; '~model.layers.<row>' removes the row",
    "model.name, model.weights": "net of model=torchvision and model=timm, and its weights: a name, or a file",
    "model.init, .take, .freeze": "a checkpoint to start from; which of its rows; which rows do not train",
    "data.root": "folder of the images; for data=folder with train/<class>/ and val/<class>/",
    "data.image_size": "side of the square that the net sees, in pixels; nets of torchvision and timm have their own",
    "data.limit": "at most so many images of each split",
    "data.download": "true: fetch the data set where torchvision can",
    "data.workers": "processes that load images; null chooses",
    "data.on_bad_image": "stop or skip when an image cannot be read",
    "optim.lr, optim.batch_size": "learning rate, images per step",
    "trainer.max_epochs, .devices": "and .accelerator, .strategy: Lightning's own",
    "evolution.layers, .maps": "which layers are shown, and how many maps of each",
    "evolution.epochs, .images": "at which epochs, and from which images (val or train)",
    "evolution.rule, .tile": "how features are projected (auto chooses for each layer), and pixels of a tile",
    "optim.renorm": "RMS radius of the filters; null: no renormalization",
    "ckpt": "of the jobs that look at a net: a checkpoint; null: the net of model=...",
    "rule": "of job=visualize: auto, deconvnet, guided or gradient; several, as '[deconvnet,guided]', side by side",
    "occlude.size, .stride": "and whatever else stands in conf/job/occlude.yaml; so for every job",
    "overlap.other": "of job=overlap: a folder to compare with data=...; null: its train with its val",
    "convert.to": "of job=convert: the new folder, to train on by data=stream data.root=<folder>",
    "run": "of job=claims and job=report: the run folder; job=report takes sweep=<folder> instead, too",
    "sweep": "of job=table: the folder of a sweep, or of training runs; several as '[outputs/sweep/a,outputs/train/b]'",
    "table.paper, .base, .epoch": "the paper's table beside it, the row that others are held against, last or best",
    "resume": "folder of a training run that was cut off; it goes on with its own settings; auto: the newest of these",
    "checkpoint.every_minutes, .every_steps": "how often last.ckpt is written within an epoch",
    "seed, name": "seed of everything random; last word of the run folder's name",
    "hydra.run.dir": "the folder of a run; hydra.sweep.dir: of a sweep",
}
EXAMPLES = [
    "python src/run.py experiment=demo",
    "python src/run.py model=zfnet data=folder data.root=/photos trainer.max_epochs=30",
    "python src/run.py model=zfnet '~model.layers.conv3' '~model.layers.conv4'",
    "python src/run.py -m seed=0,1,2 optim=quick,paper",
    "python src/run.py job=visualize ckpt=outputs/train/<run>/checkpoints/last.ckpt",
    "python src/run.py job=occlude model=torchvision model.name=vgg16 data=folder data.root=/photos",
    "python src/run.py job=claims run=outputs/train/<run>",
]


DEFAULTS_LIST = re.compile(r"defaults:|  - \S+")  # what a file takes from others
SHARED = re.compile(r"^  - (?!_self_)([\w/]+)(?:@_here_)?$", re.MULTILINE)


def general_help(conf: Path) -> str:
    """What the program can do, in lines of 80 to 100 columns as the terminal has. conf: folder of the config groups."""
    columns = min(100, max(80, shutil.get_terminal_size((100, 24)).columns))
    parts = [
        "convscope shows what a convnet learns, while it learns it.",
        "Usage: python src/run.py [-m] [group=choice ...] [key=value ...]\n"
        "-m, or --multirun, makes a run for each of several values: seed=0,1,2\n"
        f"Without any word: python src/run.py {' '.join(DEFAULTS)}",
        *(_part(f"{title} ({group}=...)", _choices(conf, group), columns) for group, title in GROUPS.items()),
        _part("Keys (key=value)", KEYS, columns),
        "One choice with all its keys: python src/run.py job=occlude --help\n"
        'Tab completes words in bash after: eval "$(python src/run.py -sc install=bash)"',
        "Examples\n" + "\n".join(f"  {line}" for line in EXAMPLES),
        f"Every key with its value: python src/run.py --cfg job       The files behind this page: {conf.name}/",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def help_on_choices(conf: Path, words: Sequence[str]) -> str | None:
    """What the choices among these words mean: each with its keys, as its file has them, e.g. of job=occlude.

    None where no word is a choice of conf/. Raises UserError for a choice that a group does not have.
    """
    parts = []
    for word in words:
        group, _, chosen = word.lstrip("+").partition("=")
        for choice in chosen.strip("[]").split(",") if group in GROUPS else []:
            path = conf / group / f"{choice}.yaml"
            if not path.is_file():
                raise UserError(
                    f"no {word}; possible: {', '.join(f'{group}={name}' for name in _choices(conf, group))}"
                )
            parts += [f"{group}={choice}: {summary(path)}", *([keys] if (keys := _keys(path)) else [])]
    if not parts:
        return None
    return "\n\n".join([*parts, "Everything else: python src/run.py --help"]) + "\n"


def _keys(path: Path) -> str:
    """The lines of a file below its first words, that is its keys, their values and what they are for."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if summary(path) in line) + 1
    own = [line for line in lines[start:] if not DEFAULTS_LIST.fullmatch(line)]
    names = {line.partition(":")[0] for line in own}
    shared = [_keys(path.parent / f"{name}.yaml") for name in SHARED.findall("\n".join(lines))]
    inherited = [line for text in shared for line in text.splitlines() if line.strip().partition(":")[0] not in names]
    return "\n".join([*(f"  {line}".rstrip() for line in own), *inherited])


def summary(path: Path) -> str:
    """What a config file says about itself: its first comment that is no `@package` line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.removeprefix("#").strip()
        if line.startswith("#") and words and not words.startswith("@package"):
            return words
        if words and not line.startswith("#"):
            break
    raise UserError(f"{path} does not begin with a comment; write what it is for in its first line: # ...")


def _choices(conf: Path, group: str) -> dict[str, str]:
    return {path.stem: summary(path) for path in sorted((conf / group).glob("*.yaml"))}


def _part(title: str, lines: dict[str, str], columns: int) -> str:
    """A heading, then names at the left and what they mean at the right; nothing where there are no lines."""
    left = min(32, max((len(name) for name in lines), default=0) + 4)
    text = [title] if lines else []
    for name, words in lines.items():
        first, *more = ["", *wrap(words, columns - left)] if len(name) + 4 > left else wrap(words, columns - left)
        text.append((f"  {name}".ljust(left) + first).rstrip())
        text += [" " * left + line for line in more]
    return "\n".join(text)
