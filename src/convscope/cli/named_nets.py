"""The nets that the words of a command name: by a run folder, by a checkpoint, by the name on a model card."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from convscope.cli.config_files import CONF
from convscope.cli.processes import RELAUNCHED_BY
from convscope.cli.recording import Command, Settings
from convscope.cli.run_start import config_folder
from convscope.config import check_path_key
from convscope.errors import UserError
from convscope.runs.reading import run_around


def taking_folders(command: Command) -> Command:
    """The command, given the checkpoint of each run folder at ckpt= and model.init=, and the run around a file at run=.

    Prints the checkpoint that it takes. A checkpoint of ${run}/ is none where run= names no run.
    """

    @wraps(command)
    def command_on_files(settings: Settings, folder: Path) -> None:
        run, ckpt, model = settings.get("run"), settings.get("ckpt"), settings.get("model")
        if run is None and isinstance(ckpt, str) and ckpt.startswith(f"{None}/"):  # conf/job/claims.yaml without run=
            settings, ckpt = {**settings, "ckpt": None}, None
        if isinstance(run, str) and str(around := run_around(run)) != run:
            ckpt = f"{around}{ckpt.removeprefix(run)}" if isinstance(ckpt, str) and ckpt.startswith(f"{run}/") else ckpt
            settings = {**settings, "run": str(around)}
        if ckpt:
            files = [_file_in("ckpt", path) for path in (ckpt if isinstance(ckpt, list) else [ckpt])]
            settings = {**settings, "ckpt": files if isinstance(ckpt, list) else files[0]}
        if isinstance(model, dict) and model.get("init"):
            settings = {**settings, "model": {**model, "init": _file_in("model.init", model["init"])}}
        command(settings, folder)

    return command_on_files


def _file_in(key: str, path: Any) -> Any:
    """The checkpoint in a folder; anything else as it is."""
    if not isinstance(path, str) or not os.path.isdir(os.path.expanduser(path)):
        return path
    from convscope.cli.terminal import show_line
    from convscope.models.checkpoints import checkpoint_file

    file = checkpoint_file(path)
    if not file.is_file():
        return path
    show_line(f"{key}={path}: {file.name}")
    return str(file)


def with_nets_by_name(cfg: DictConfig, words: Sequence[str]) -> DictConfig:
    """The config with the rows of the net that net=<checkpoint> names, or the library's own name of its net.

    words: the overrides of the command line. Raises UserError for a name that means no net, or another one.
    """
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    if settings.get("net") is not None and cfg.job == "train":
        from convscope.training.start import parent_net

        check_path_key(settings, "net")
        return _with(cfg, {"net": None}, parent_net(settings, words))
    model = settings.get("model")
    typed = any(word.lstrip("+").startswith("model.name=") for word in words)
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        return cfg
    if "layers" in model:
        if typed and not any(word.lstrip("+").startswith("model=") for word in words):
            _check_is_no_other_net(model["name"])
    elif model.get("source") in ("torchvision", "timm") and isinstance(model.get("weights"), str | None):
        from convscope.models.library_metadata import net_by_card_name

        net = net_by_card_name(model["source"], model["name"], model.get("weights"), typed)
        if {"model.weights=null", "++model.weights=null"} & set(words):  # also where the name has weights of its own
            net = net._replace(weights=None)
        if (net.name, net.weights) != (model["name"], model.get("weights")):
            return _with(cfg, {}, {"model": {"name": net.name, "weights": net.weights}})
    return cfg


def check_typed_target(cfg: DictConfig, words: Sequence[str]) -> None:
    """Raises UserError where the folder of a run that goes on, and not the command line, says what is imported."""
    model: Any = OmegaConf.to_container(cfg, resolve=True).get("model")  # type: ignore[union-attr]
    if config_folder() == CONF or RELAUNCHED_BY in os.environ:
        return
    if not isinstance(model, dict) or "layers" in model or model.get("source") != "python":
        return
    from convscope.models.targets import check_target

    parser, typed = OverridesParser.create(), OmegaConf.create({"model": {"source": "python"}})
    for word in words:
        if re.match(r"\+*model\.(target|args)\b", word):
            override = parser.parse_override(word)
            OmegaConf.update(typed, override.key_or_group, override.value())
    plain: Any = OmegaConf.to_container(typed)
    written: Any = OmegaConf.to_container(cfg.model)  # typed values stand in place of those of the folder
    check_target(written, plain["model"], "the run in this folder")


def _check_is_no_other_net(name: str) -> None:
    """Raises UserError for model.name=resnet18 alone, which would only give the default net another name."""
    from convscope.models.library_metadata import nearest_nets

    words, ratio = nearest_nets(name)
    if ratio == 1:
        raise UserError(f"model.name={name} alone only gives the net of model=zfnet another name; type {words}")


def _with(cfg: DictConfig, tops: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> DictConfig:
    """The config with other values. tops: of keys in no group. changes: those of a group; new rows replace the old."""
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    for key, value in tops.items():
        cfg[key] = value
    for key in ("layers", "width", "weights") if "source" in changes["model"] else ():
        cfg.model.pop(key, None)
    for group, values in changes.items():
        for key, value in values.items():
            cfg[group][key] = value
    return cfg
