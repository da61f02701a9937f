"""The text of `--help`, from the comments in conf/, and of wrong flags. Imports nothing slow."""

import argparse
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import wrap

from convscope.errors import INSTALLED, UserError, command_line, did_you_mean

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
    "model.name": "net of torchvision or timm, also as on its model card",
    "model.weights": "a file of weights, for any net; of torchvision and timm also a name, which is downloaded",
    "model.target, .args": "model=python: <module>:<class or function> that makes the net, its arguments {width: 2}",
    "model.mean, .std": "model=python: the colors by which its input is normalized, pixels from 0 to 1",
    "model.init, .take, .freeze": "a checkpoint or run to start from; which of its rows; which rows do not train",
    "data.root": "folder of the images; for data=folder with train/<class>/ and val/<class>/",
    "data.val_share": "of each class, for data=folder without val/: 0.2 validates with a fifth of the images",
    "data.image_size": "side of the square that the net sees, in pixels; nets of torchvision and timm have their own",
    "data.limit": "at most so many images of each split",
    "data.download": "true: fetch the data set where torchvision can",
    "data.workers": "processes that load images; null chooses",
    "data.on_bad_image": "stop or skip when an image cannot be read",
    "optim.lr, optim.batch_size": "learning rate, images per step",
    "trainer.max_epochs, .devices": "and .accelerator, .strategy: Lightning's; others as +trainer.<argument>",
    "evolution.layers, .maps": "which layers are shown, and how many maps of each",
    "evolution.epochs, .images": "at which epochs, and from which images (val or train)",
    "evolution.rule, .tile": "how features are projected (auto chooses for each layer), and pixels of a tile",
    "optim.renorm": "RMS radius of the filters; null: no renormalization",
    "ckpt": "the checkpoint that a job looks at, or its run folder; null: the net of model=...",
    "rule": "how features are projected: auto, deconvnet, guided, gradient, or a list to compare",
    "<job>.<key>": "keys of one job; job=<job> --help lists them",
    "run": "the run folder that a job reads, or a file in it",
    "sweep": "the folder of a sweep that a job reads, or of training runs, or a list of folders",
    "resume": "folder of an unfinished training run, which goes on with its own settings; auto: the newest one",
    "logger.<name>.<key>": "keys of one logger; logger=<name> --help lists them",
    "checkpoint.every_minutes, .every_steps": "how often last.ckpt is written within an epoch",
    "seed, name": "seed of everything random; last part of the name of the run folder",
    "hydra.run.dir": "the folder of a run; hydra.sweep.dir: of a sweep",
}
EXAMPLES = [
    "experiment=demo",
    "model=zfnet data=folder data.root=/photos trainer.max_epochs=30",
    "model=zfnet '~model.layers.conv3' '~model.layers.conv4'",
    "-m seed=0,1,2 optim=quick,paper",
    "job=visualize ckpt=outputs/train/<run>/checkpoints/last.ckpt",
    "job=occlude model=torchvision model.name=vgg16 data=folder data.root=/photos",
    "job=claims run=outputs/train/<run>",
]

_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_COMMANDS = {"run", "multirun", "cfg", "info", "shell_completion"}  # flags of which Hydra takes one

NO_SUMMARY = "(a comment in the first line of its file would stand here)"
DEFAULTS_LIST = re.compile(r"defaults:|  - \S+")  # the lines of a file that include other files
SHARED = re.compile(r"^  - (?!_self_)([\w/]+)(?:@_here_)?$", re.MULTILINE)


def general_help(conf: Path, arguments: Sequence[str] = ()) -> str:
    """The help on the whole program, 80 to 100 columns wide as the terminal is.

    conf: folder of the config groups. Choices in the folder of a --config-dir among the arguments are listed too.
    """
    folders, place = _config_folders(conf, arguments), conf if INSTALLED else conf.name
    columns = min(100, max(80, shutil.get_terminal_size((100, 24)).columns))
    parts = [
        "convscope shows what a convnet learns, while it learns it.",
        f"Usage: {command_line()} [-m] [group=choice ...] [key=value ...]\n"
        "-m, or --multirun, makes a run for each of several values: seed=0,1,2\n"
        f"Without arguments: {command_line(*DEFAULTS)}",
        *(_part(f"{title} ({group}=...)", _choices(folders, group), columns) for group, title in GROUPS.items()),
        _part("Keys (key=value)", KEYS, columns),
        f"One choice with all its keys: {command_line('job=occlude', '--help')}\n"
        f"The pages of all runs in a browser, also from another machine: {command_line('serve', 'outputs')}\n"
        f'Tab completes overrides in bash after: eval "$({command_line("-sc", "install=bash")})"',
        "Examples\n" + "\n".join(f"  {command_line()} {line}" for line in EXAMPLES),
        f"Every key with its value: {command_line('--cfg', 'job')}       The files behind this page: {place}/",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def help_on_choices(conf: Path, arguments: Sequence[str]) -> str | None:
    """The help on each choice among the arguments, e.g. job=occlude: its summary and its keys, as its file has them.

    None where no argument is a choice of conf/ or of a --config-dir. Raises UserError for a choice that a group lacks.
    """
    parts, folders = [], _config_folders(conf, arguments)
    for argument in arguments:
        group, _, values = argument.lstrip("+").partition("=")
        for choice in values.strip("[]").split(",") if group in GROUPS else []:
            path = next((file for place in folders if (file := place / group / f"{choice}.yaml").is_file()), None)
            if path is None:
                names = [f"{group}={name}" for name in _choices(folders, group)]
                raise UserError(f"no {argument}; possible: {', '.join(names)}")
            parts += [f"{group}={choice}: {summary(path)}", *([keys] if (keys := _keys(path)) else [])]
    if not parts:
        return None
    return "\n\n".join([*parts, f"Everything else: {command_line('--help')}"]) + "\n"


def _keys(path: Path, including: tuple[Path, ...] = ()) -> str:
    """The lines of a file below its summary: keys, values and comments, and those of the files that it includes.

    including: the files that include this one.
    """
    lines = _lines(path)
    start = next((number for number, line in enumerate(lines, 1) if summary(path) in line), 0)
    lines_of_keys = [line for line in lines[start:] if not DEFAULTS_LIST.fullmatch(line)]
    names = {line.partition(":")[0] for line in lines_of_keys}
    included = [path.parent / f"{name}.yaml" for name in SHARED.findall("\n".join(lines))]
    including = (*including, path)
    shared = [_keys(file, including) for file in included if file.is_file() and file not in including]
    inherited = [line for text in shared for line in text.splitlines() if line.strip().partition(":")[0] not in names]
    return "\n".join([*(f"  {line}".rstrip() for line in lines_of_keys), *inherited])


def summary(path: Path) -> str:
    """The summary of a config file: its first comment that is no `@package` line, or what to write there."""
    for line in _lines(path):
        text = line.removeprefix("#").strip()
        if line.startswith("#") and text and not text.startswith("@package"):
            return text
        if text and not line.startswith("#"):
            break
    return NO_SUMMARY


def _lines(path: Path) -> list[str]:
    """The lines of a file, whatever it holds; none where it cannot be read."""
    with suppress(OSError):
        return path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    return []


def _config_folders(conf: Path, arguments: Sequence[str]) -> list[Path]:
    """conf/ and the folders of --config-dir=<folder> or --config-dir <folder>; Hydra has the parser, and is slow."""
    words = [word for argument in arguments for word in re.split("(?<=^--config-dir)=|(?<=^-cd)=", argument)]
    typed = [after for word, after in zip(words, words[1:], strict=False) if word in ("--config-dir", "-cd")]
    return [conf, *(Path(folder).expanduser() for folder in typed)]


def _choices(folders: Sequence[Path], group: str) -> dict[str, str]:
    paths = [path for folder in folders for path in (folder / group).glob("*.yaml")]
    return {path.stem: summary(path) for path in sorted(paths, key=lambda path: path.name)}


def _part(title: str, lines: dict[str, str], columns: int) -> str:
    """A heading, then names at the left and their descriptions at the right; empty where there are no lines."""
    left = min(32, max((len(name) for name in lines), default=0) + 4)
    text = [title] if lines else []
    for name, description in lines.items():
        wrapped = wrap(description, columns - left)
        first, *more = ["", *wrapped] if len(name) + 4 > left else wrapped
        text.append((f"  {name}".ljust(left) + first).rstrip())
        text += [" " * left + line for line in more]
    return "\n".join(text)


def flags_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags in their long form, --flag or --flag=value, and the overrides. Raises UserError for a wrong flag."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.exit_on_error = False
    flags_of_hydra = [flag for action in parser._actions for flag in action.option_strings]
    try:
        options = vars(parser.parse_known_intermixed_args(_with_known_flags(arguments[:end], flags_of_hydra))[0])
    except argparse.ArgumentError as error:
        raise UserError(
            f"{error}; {command_line('--hydra-help')} describes the flags".removeprefix("argument ")
        ) from None
    overrides = [*options.pop("overrides"), *arguments[end + 1 :]]
    chosen = {name: value for name, value in options.items() if value not in (None, False)}
    _check_flags(chosen)
    flags = {f"--{name.replace('_', '-')}": value for name, value in chosen.items()}
    return [flag if value is True else f"{flag}={value}" for flag, value in flags.items()], overrides


def _with_known_flags(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The words, with --info=all for an --info before an override. Raises UserError for a flag beside `flags`."""
    checked: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name = word.partition("=")[0]
        matches = [flag for flag in flags if flag == name] or [flag for flag in flags if flag.startswith(name)]
        is_flag = len(matches) == 1 or word in ("-cjob", "-chydra", "-call")
        if re.match(r"--?[^\d.-]", word) and not is_flag:
            raise UserError(_explain_no_flag(word, following, flags))
        checked.append("--info=all" if word in ("--info", "-i") and following not in _INFO else word)
    return checked


def _explain_no_flag(word: str, following: str, flags: Sequence[str]) -> str:
    setting = word.lstrip("-")
    if f"--{setting.partition('=')[0]}" in flags:
        return f"{word} is no flag; type --{setting}"
    if "=" not in setting and following and "=" not in following and not following.startswith("-"):
        setting = f"{setting}={following}"
    if "=" in setting:
        return f"{word} is no flag; settings are typed without dashes: {shlex.quote(setting)}"
    listed = ", ".join(flag for flag in flags if flag.startswith("--"))
    return f"{word} is no flag{did_you_mean(word, flags)}; flags: {listed}; settings are typed as {setting}=<value>"


def _check_flags(chosen: dict[str, str]) -> None:
    """Raises UserError for flags that contradict each other, or that name no folder or file."""
    commands = [f"--{name.replace('_', '-')}" for name in chosen if name in _COMMANDS]
    if len(commands) > 1:
        raise UserError(f"{' and '.join(commands)} do not go together; type one of them")
    if "resolve" in chosen and not {"cfg", "help"} & set(chosen):
        raise UserError("--resolve belongs to --cfg; type --cfg job --resolve")
    for name in {"config_dir", "config_path", "experimental_rerun"} & set(chosen):
        flag, path = f"--{name.replace('_', '-')}", chosen[name]
        is_file = name == "experimental_rerun"
        chosen[name] = path if path.startswith("pkg://") else os.path.expanduser(path)
        if not path or not (os.path.isfile if is_file else os.path.isdir)(chosen[name]):
            kind = "file" if is_file else "folder"
            raise UserError(f"{flag}={path} is no {kind}" + "; is the variable after it set?" * (not path))
