"""The inputs of a job: nets with their images, images alone, the device; and the facts about them for summary.json."""

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convscope.analyses.subject import Subject, new_subject, saved_subject, untrained_subject
from convscope.analyses.weak_nets import UNTRAINED, weak_net_line
from convscope.config import Settings
from convscope.data.config import data_settings, job_source, sized, whole_source
from convscope.data.settings import DataSettings
from convscope.data.sources import Source
from convscope.engine.blocks import default_layers
from convscope.engine.layers import layer_table
from convscope.errors import UserError
from convscope.runs.reading import run_folder_of


class Inputs:
    """The inputs of one job. facts: entries of summary.json. subjects: the nets that the job has opened.

    show_warning: prints a line that a user should read at once. last_warnings: lines that are printed at the very end.
    """

    def __init__(self, settings: Settings, folder: Path, show_warning: Callable[[str], None] = print) -> None:
        self._settings = settings
        self.folder, self.seed, self.show_warning = folder, settings["seed"], show_warning
        self.facts: dict[str, Any] = {name: settings[name] for name in ("job", "name", "seed")}
        self.subjects: list[Subject] = []
        self.last_warnings: list[str] = []

    @property
    def checkpoints(self) -> list[str | None]:
        """The checkpoints of ckpt=, None for the net of model=...; more than one where the job takes several."""
        setting = self.checkpoint_setting
        if isinstance(setting, list | tuple) and not setting:
            raise UserError("ckpt=[] names no net; give one checkpoint or more: ckpt=[a.ckpt,b.ckpt]")
        return list(setting) if isinstance(setting, list | tuple) else [setting]

    @property
    def checkpoint_setting(self) -> Any:
        """ckpt as the user gave it: a path, a list of paths, or None."""
        return self._settings["ckpt"]

    @property
    def has_learned_weights(self) -> bool:
        """Whether the net comes from a checkpoint or with pretrained weights."""
        return bool(self._settings["ckpt"] or self._settings["model"].get("weights"))

    @property
    def model(self) -> Settings:
        """The settings of conf/model."""
        return self._settings["model"]

    @property
    def data_name(self) -> str:
        """The name of the source in conf/data."""
        return str(self._settings["data"]["source"])

    @property
    def data_root(self) -> Path | None:
        """The folder of the images; None for sets that have none."""
        root = self._settings["data"].get("root")
        return Path(root).expanduser() if root and "://" not in str(root) else None

    @property
    def val_share(self) -> float | None:
        """data.val_share; None for sets that are not divided."""
        return self._settings["data"].get("val_share")

    @property
    def device(self) -> torch.device:
        """Where a finished net runs: of several devices that of this process."""
        trainer = self._settings["trainer"]
        return own_device(net_device(trainer["accelerator"]), trainer.get("devices", 1))

    def subject(self) -> Subject:
        """The net of ckpt=, or of model=..., on its device, with its images; adds facts about both."""
        opened = self.open(self.checkpoints[0])
        self.facts |= run_facts(self._settings, opened) | self._trained_in()
        self.subjects.append(opened)
        return opened

    def all_subjects(self) -> list[Subject]:
        """A net for each checkpoint; the facts of the run are those of the first."""
        first = self.subject()
        self.subjects += [self.open(checkpoint) for checkpoint in self.checkpoints[1:]]
        return [first, *self.subjects[1:]]

    def open(self, checkpoint: str | Path | None) -> Subject:
        """A net in evaluation mode on its device, with its images; adds no facts. The process computes without TF32."""
        settings = {**self._settings, "ckpt": str(checkpoint) if checkpoint else checkpoint}
        if settings["model"].get("init") and not settings["ckpt"]:
            raise UserError(f"model.init is where a training starts; job={settings['job']} looks at ckpt=<that file>")
        random.seed(self.seed)
        np.random.seed(self.seed)
        torch.manual_seed(self.seed)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        opened = saved_subject(settings) if settings["ckpt"] else new_subject(settings, keep_classes=True)
        self._check_split(opened)
        opened.net.to(self.device).eval()
        return opened

    def _check_split(self, subject: Subject) -> None:
        """Raises UserError where the split that the job asks for is not there."""
        job, missing = str(self._settings["job"]), subject.data.missing
        name, key = ("evolution", "images") if job == "visualize" else (job, "split")
        group = self._settings.get(name)
        if isinstance(group, Mapping) and (split := group.get(key)) in missing:
            others = [f"{name}.{key}={other}" for other in ("val", "train") if other not in missing]
            raise UserError(f"{missing[split]}; or type {' or '.join(others)}" if others else missing[split])

    def random_subject(self, subject: Subject, draw: int = 0, checkpoint: str | None = "") -> Subject:
        """The same net and images with fresh random weights. draw: other numbers draw other weights.

        checkpoint: of the net where it is not that of ckpt=; None for the net of model=....
        """
        settings = {**self._settings, "seed": self.seed + draw}
        settings |= {} if checkpoint == "" else {"ckpt": checkpoint}
        net = untrained_subject(settings).to(subject.device).eval()
        return subject._replace(net=net, own_images=False)

    def weak_nets(self) -> list[str]:
        """A line for each opened net whose pictures mean little: an untrained one, or one at chance on its images."""
        if self.subjects and not self.has_learned_weights:
            return [UNTRAINED]
        lines = [weak_net_line(subject, self.seed) for subject in self.subjects]
        if len(lines) > 1:
            names = map(str, self.checkpoints)
            lines = [line and f"{name}: {line}" for name, line in zip(names, lines, strict=False)]
        return list(dict.fromkeys(filter(None, lines)))

    def source(self, whole: bool = True) -> Source:
        """The images of conf/data. whole: as training takes them, at most data.limit of each split."""
        return whole_source(self._settings) if whole else job_source(sized(self._settings))

    def data_settings(self) -> DataSettings:
        """The settings of conf/data that turn images into batches."""
        return data_settings(self._settings)

    def _trained_in(self) -> dict[str, str]:
        """of_run: the folder, relative to this one, of the run that wrote the checkpoint; nothing for other nets."""
        trained = run_folder_of(self._settings.get("ckpt"))
        return {} if trained is None else {"of_run": os.path.relpath(trained, self.folder.resolve())}


def net_device(accelerator: str) -> torch.device:
    """The device of trainer.accelerator, by Lightning's names; auto: a GPU where there is one."""
    gpu = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available = [name for name, is_available in gpu.items() if is_available]
    names = {"auto": available[:1] or ["cpu"], "gpu": available}.get(str(accelerator), [str(accelerator)])
    if not set(names) & {*available, "cpu"}:
        raise UserError(
            f"trainer.accelerator={accelerator} is not available on this machine; possible: "
            f"{', '.join([*available, 'cpu'])}"
        )
    return torch.device(names[0])


def own_device(device: torch.device, devices: Any, env: Mapping[str, str] = os.environ) -> torch.device:
    """The device of this process among those of trainer.devices: a number of them, or their own numbers in a list.

    A GPU other than the first becomes the one that new tensors and kernels go to. Raises UserError where the machine
    does not have it.
    """
    number = int(env.get("LOCAL_RANK", env.get("SLURM_LOCALID", "0")))  # of this process on its machine
    listed = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    numbers = [int(listed_number) for listed_number in listed] if isinstance(listed, list | tuple) else []
    number = numbers[number] if number < len(numbers) else number
    if device.type == "cpu" or number == 0:
        return device
    if device.type != "cuda" or number >= torch.cuda.device_count():
        count = torch.cuda.device_count() if device.type == "cuda" else 1
        raise UserError(f"trainer.devices={devices}: this machine has {count} of trainer.accelerator={device.type}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def run_facts(settings: Settings, subject: Subject) -> dict[str, Any]:
    """The entries of summary.json that are fixed before the run begins."""
    net, data = subject.net, subject.data
    return {
        "job": settings["job"],
        "name": settings["name"],
        "seed": settings["seed"],
        "data": subject.data_name,
        **({"decoder": data.decoder} if data.decoder else {}),
        "classes": list(data.classes),
        "net": {
            "name": subject.net_name,
            "image_size": data.settings.image_size,
            "parameters": sum(weight.numel() for weight in net.parameters()),
            "rows": layer_table(net, data.image_shape, _drawn_layers(settings, subject)),
        },
    }


def _drawn_layers(settings: Settings, subject: Subject) -> list[str]:
    """The layers whose maps are drawn: those of conf/evolution, or the default ones of the net."""
    evolution = settings.get("evolution") or {}
    layers = evolution.get("layers") or evolution.get("maps")
    if isinstance(layers, list | Mapping):
        return list(layers)
    return default_layers(subject.net, subject.data.image_shape)
