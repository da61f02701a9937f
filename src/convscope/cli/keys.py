"""The keys that settings can have, by group and choice. A key that nothing reads is refused, wherever it stands.

The keys of an analysis are the fields of its class in about.py. Nothing here imports torch, unless a key of Lightning's
Trainer or a row of a net has to be looked up.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convscope.analyses import About, abouts
from convscope.cli.config_files import CONF, choices, keys_of_file
from convscope.errors import UserError, did_you_mean, explain_unknown_key, list_possible
from convscope.runs.config_diff import flattened
from convscope.runs.reading import recorded_settings

Settings = Mapping[str, Any]
CHOSEN_GROUPS = ("data", "model", "optim", "evolution", "logger", "job")  # of which each choice has keys of its own
TOP = ("job", "name", "resume", "seed")  # keys of every job that are in no group
START = ("source", "name", "init", "take", "freeze", "weights")  # keys of every net; those of a library have no others
ROWS = (*START, "width", "layers")
PYTHON = (*START, "target", "args", "mean", "std")
LIBRARIES = ("torchvision", "timm")
IMAGES = ("source", "image_size", "limit", "workers", "on_bad_image", "cache_dir", "cache_gib", "color_noise",
          "pixel_scale")  # fmt: skip
STORED, FETCHED = ("root",), ("root", "download")
SOURCES: dict[str, tuple[str, ...]] = {  # data.source -> its keys besides IMAGES
    "critters": ("train", "val", "draw_seed"), "digits": (), "folder": (*STORED, "val_share"), "images": STORED,
    "imagenet": STORED, "stream": STORED, "cifar10": FETCHED, "imagenette": FETCHED, "caltech101": FETCHED,
    "caltech256": FETCHED, "voc2012": FETCHED,
}  # fmt: skip
GROUPS = {
    "optim": ("algorithm", "lr", "momentum", "weight_decay", "batch_size", "schedule", "patience", "label_smoothing",
              "init", "init_std", "bias_ones", "renorm", "loss", "compile"),
    "evolution": ("layers", "maps", "epochs", "images", "rule", "tile", "measures"),
    "checkpoint": ("every_minutes", "every_steps"),
    "trainer": ("max_epochs", "devices", "accelerator", "strategy", "num_nodes", "precision"),
}  # fmt: skip
LOGGERS = {  # conf/logger/<name>.yaml; tensorboard: all that Lightning's TensorBoardLogger and its writer take
    "wandb": ("project", "mode", "table", "artifacts"),
    "mlflow": ("experiment", "tracking_uri"),
    "tensorboard": ("flush_secs", "max_queue", "filename_suffix", "comment", "purge_step", "prefix", "sub_dir",
                    "log_graph", "default_hp_metric"),
}  # fmt: skip
ALL_NEEDED = ("wandb", "mlflow")  # loggers that have no defaults but those of their file
INSTEAD_OF_CKPT = "; training starts from model.init=<checkpoint>"
PROGRAM_JOBS: dict[str, tuple[Sequence[str], Sequence[str]]] = {  # job -> its keys in no group, those of its group
    "train": (("net",), ()),  # net: a checkpoint whose net is trained, in conf/experiment/transfer.yaml
    "annotate": ((), ("parts", "boxes", "copy")),
    "convert": ((), ("to", "quality", "chunk")),
    "report": (("run", "sweep"), ()),
    "dashboard": (("run",), ("project", "entity", "save")),
    "export": (("run",), ("what", "layer", "map", "epoch", "format", "paper", "dpi", "megabytes", "out")),
}


def check_composed(settings: Settings, unresolved: Any, hydra_settings: Any) -> None:
    """Raises UserError for the first key that nothing reads, also among Hydra's own. unresolved: see `check_keys`."""
    folders = OmegaConf.to_container(OmegaConf.create([hydra_settings.run, hydra_settings.sweep]))
    recorded = recorded_settings(hydra_settings.runtime.output_dir)
    check_keys(settings, recorded, f"{unresolved} {folders}")
    check_hydra_keys(hydra_settings, "hydra")


def check_hydra_keys(node: DictConfig, name: str) -> None:
    """Raises UserError for a key that was added with + to settings whose keys a class of Hydra's fixes.

    Within a sweeper, a class of nothing but its target stands for others with keys of their own, such as samplers.
    """
    kind = OmegaConf.get_type(node)
    is_open = is_dataclass(kind) and [field.name for field in fields(kind)] == ["_target_"]
    if is_open and name.startswith("hydra.sweeper."):
        return
    possible = [*(field.name for field in fields(kind)), "env"] if is_dataclass(kind) else list(node)
    for key in map(str, node):
        if key not in possible:
            siblings = list_possible([f"{name}.{field}" for field in possible])
            raise UserError(f"no key {name}.{key}{did_you_mean(key, possible)}{siblings}")
        value = node._get_node(key)
        if isinstance(value, DictConfig) and not (value._is_none() or value._is_missing() or value._is_interpolation()):
            check_hydra_keys(value, f"{name}.{key}")


def check_keys(settings: Settings, recorded: Settings | None = None, text: str = "") -> None:
    """Raises UserError for the first key that nothing reads.

    recorded: the settings that an earlier start of this run has written, whose keys pass. text: the settings before
    their interpolations ${key} were replaced: a key in no group may be one's own, if a value refers to it. What an
    experiment says of the net passes, e.g. its width, where the words choose a net that has no such key.
    """
    possible, earlier = possible_keys(settings), flattened(recorded or {})
    words = [word.lstrip("+") for word in settings.get("words", ())]
    for key in _keys(settings):
        if key in possible or any(f"{old}.".startswith(f"{key}.") for old in earlier):
            continue
        refers = "." not in key and re.search(rf"\$\{{\s*{re.escape(key)}\s*[.}}\[]", text)
        has_owner = key in PROGRAM_JOBS["train"][0] or bool(choices_with(key))
        if not refers and not (_is_of_experiment(key, words) and has_owner):
            _refuse(key, words, possible)
    for name in ALL_NEEDED:
        present = (settings.get("logger") or {}).get(name)
        if isinstance(present, Mapping) and not set(LOGGERS[name]) <= present.keys():
            raise UserError(f"logger.{name} has {', '.join(present) or 'no keys'} alone; type logger={name} as well")
    rows = [word for word in words if re.match(r"model\.layers\b", word)]
    if rows and isinstance(layers := mapping_or_empty(settings.get("model")).get("layers"), Mapping):
        from convscope.models.rows import read_rows

        read_rows(layers, 2)  # its fields, also where the job has no use for the net


def _is_of_experiment(key: str, words: Sequence[str]) -> bool:
    """Whether an experiment may have brought this key for a choice of its own, in whose place another is typed."""
    group = key.partition(".")[0]
    typed = {word.partition("=")[0] for word in words}
    is_typed = any(f"{name}.".startswith(f"{key}.") for name in typed)
    return {"experiment", group if group in ("model", "data") else "job"} <= typed and not is_typed


def possible_keys(settings: Settings) -> list[str]:
    """All dotted keys of this job, net, set of images and these loggers."""
    tops, group = keys_of_jobs().get(str(settings.get("job")), ((), {}))
    model, data, logger = (mapping_or_empty(settings.get(name)) for name in ("model", "data", "logger"))
    special = SOURCES.get(str(data.get("source")), [key for keys in SOURCES.values() for key in keys])
    words = settings.get("words", ())
    if any(word.startswith("data.source=") for word in words):  # on the file of another set
        special = [key for keys in SOURCES.values() for key in keys]
    if settings.get("ckpt") and not any(word.startswith("data=") for word in words):  # the images of the checkpoint
        special = [*special, *FETCHED]
    groups = {"model": _net_keys(model), "data": (*IMAGES, *special), **GROUPS, **group}
    loggers = {f"logger.{name}": LOGGERS[name] for name in logger if name in LOGGERS}
    dotted = [f"{name}.{key}" for name, keys in {**groups, **loggers}.items() for key in dict.fromkeys(keys)]
    return [*TOP, "logger", *tops, *dotted]


def keys_of_jobs() -> dict[str, tuple[Sequence[str], dict[str, Sequence[str]]]]:
    """Job -> its keys that are in no group, and the keys of its own group by the name of the group."""
    jobs = {job: (tops, {job: group} if group else {}) for job, (tops, group) in PROGRAM_JOBS.items()}
    return jobs | {about.job: _analysis_keys(about) for about in abouts().values()}


def _analysis_keys(about: About) -> tuple[Sequence[str], dict[str, Sequence[str]]]:
    described: Any = about.config
    elsewhere = described.config_elsewhere
    names = [field.name for field in fields(described) if field.name not in elsewhere]
    tops = [key for key in elsewhere.values() if "." not in key] + (["ckpt"] if about.looks and about.images else [])
    return tops, {} if described.config_group in GROUPS else {described.config_group: names}


def choices_with(key: str, conf: Path = CONF) -> list[str]:
    """The choices of config groups whose files have this key, or keys in it, those first that give it no value."""
    empty: dict[str, bool] = {}
    for word in (word for group in CHOSEN_GROUPS for word in choices(conf, group)):
        group, _, choice = word.partition("=")
        keys = keys_of_file(group, choice, conf)
        if any(f"{name}.".startswith(f"{key}.") for name in keys):
            empty[word] = keys.get(key) is None
    return sorted(empty, key=lambda choice: not empty[choice])


def typed_choice(group: str, words: Sequence[str]) -> str:
    """The last group=choice of a config group in the words; "" where none is typed."""
    typed = [word.lstrip("+") for word in words if word.lstrip("+").startswith(f"{group}=")]
    return typed[-1] if typed else ""


def explain_other_choice(key: str, owners: Sequence[str], words: Sequence[str]) -> str:
    """A line on a key of other choices than those of this start. owners: the choices that have it."""
    chosen = typed_choice(owners[0].partition("=")[0], words)
    others = f" (also of {', '.join(owners[1:5])}{', ...' * (len(owners) > 5)})" if len(owners) > 1 else ""
    mend = f"type {owners[0]} in place of {chosen}, or leave {key} out" if chosen else f"type {owners[0]} too"
    start = INSTEAD_OF_CKPT if key == "ckpt" and chosen in ("", "job=train") else ""
    return f"no key {key} in {chosen or 'what is chosen'}; it is a key of {owners[0]}{others}; {mend}{start}"


def _refuse(key: str, words: Sequence[str], possible: Sequence[str]) -> None:
    """Raises UserError for a key that is none, with the choices that have it, or the nearest key."""
    group = key.partition(".")[0]
    if group == "trainer" and "." in key:
        from convscope.training.trainer import check_trainer_key

        return check_trainer_key(key.partition(".")[2])
    if group == "logger" and key.count(".") == 1:
        raise UserError(f"no {key.replace('.', '=')}; possible: {', '.join(f'logger={name}' for name in LOGGERS)}")
    if owners := choices_with(key):
        raise UserError(explain_other_choice(key, owners, words))
    raise UserError(explain_unknown_key(key, possible))


def _keys(settings: Settings) -> Iterator[str]:
    """The dotted keys of the settings, as deep as their names are fixed: a layer in evolution.maps is no key."""
    groups = {"model", "data", *GROUPS, *keys_of_jobs().get(str(settings.get("job")), ((), {}))[1]}
    for name, value in settings.items():
        if name == "logger":
            yield from _logger_keys(mapping_or_empty(value))
        elif name in groups:
            yield from (f"{name}.{key}" for key in mapping_or_empty(value))
        elif name != "words":
            yield str(name)


def _logger_keys(loggers: Settings) -> Iterator[str]:
    for name, values in loggers.items():
        keys = [f"logger.{name}.{key}" for key in mapping_or_empty(values)]
        yield from keys if name in LOGGERS else [f"logger.{name}"]


def _net_keys(model: Settings) -> Collection[str]:
    source = model.get("source")
    return PYTHON if source == "python" else START if source in LIBRARIES else ROWS


def mapping_or_empty(value: Any) -> Settings:
    return value if isinstance(value, Mapping) else {}
