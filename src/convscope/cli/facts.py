"""Settings (plain values from conf/) to objects: the images, the net, what to show of it, what to say of it.

Jobs get what they need from here; none of them sees the settings.
"""

from collections.abc import Mapping
from typing import Any

import torch

from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import FeatureChoice
from convscope.config import read_plan
from convscope.data.config import Settings
from convscope.engine.blocks import default_layers
from convscope.engine.layer_table import layer_table
from convscope.errors import UserError
from convscope.models.build import ConvNet
from convscope.models.checkpoints import describe


def evolution_choice(evolution: Settings) -> FeatureChoice:
    """conf/evolution as a Choice."""
    return read_plan(FeatureChoice, "evolution", evolution)


def net_device(accelerator: str) -> torch.device:
    """Where a finished net is looked at: trainer.accelerator in Lightning's words; auto: a GPU where there is one."""
    gpu = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there = [name for name, available in gpu.items() if available]
    wanted = {"auto": there[:1] or ["cpu"], "gpu": there}.get(str(accelerator), [str(accelerator)])
    if not set(wanted) & {*there, "cpu"}:
        raise UserError(
            f"trainer.accelerator={accelerator} is not to be had here; possible: {', '.join([*there, 'cpu'])}"
        )
    return torch.device(wanted[0])


def checkpoint_description(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What every checkpoint says of its net and its input: plain values and the mean image."""
    net, data = subject.net, subject.data
    if isinstance(net, ConvNet):
        about: dict[str, Any] = describe(net) | {"name": subject.net_name}
    else:
        model = settings["model"]
        about = {"source": model["source"], "name": model["name"], "classes": len(data.classes)}
        about["image_size"] = data.settings.image_size
        about["transform_input"] = bool(getattr(net, "transform_input", False))
    scale, images = data.settings.pixel_scale, data.settings
    return {
        "net": about,
        "class_names": list(data.classes),
        "mean": data.mean,
        "input": {"stored": images.stored, "interpolation": images.interpolation},
        "pixel_scale": list(scale) if isinstance(scale, tuple) else scale,
        "loss": settings["optim"].get("loss", "softmax"),
        "data": dict(settings["data"]),
    }


def run_facts(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What summary.json says of the run before it begins."""
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
            "rows": layer_table(net, data.settings.image_size, _shown_layers(settings, subject)),
        },
    }


def _shown_layers(settings: Settings, subject: Subject) -> list[str]:
    """The layers whose maps are shown, those that are not there left out: whoever shows them says so."""
    evolution = settings.get("evolution") or {}
    named = evolution.get("layers") or evolution.get("maps")
    return list(named) if isinstance(named, list | Mapping) else default_layers(
        subject.net, subject.data.settings.image_size
    )  # fmt: skip


def logging_volume(settings: Settings, subject: Subject) -> tuple[int, int, int]:
    """How many epochs a training run shows, of how many layers, and how many maps of all of them together."""
    chosen, last = evolution_choice(settings["evolution"]), settings["trainer"]["max_epochs"]
    epochs = sum(chosen.at(epoch) for epoch in range(1, last + 1))
    layers = chosen.chosen_layers(subject.net, subject.data.settings.image_size)
    if isinstance(chosen.maps, int):
        return epochs, len(layers), len(layers) * chosen.maps
    return epochs, len(layers), sum(len(maps) for maps in chosen.maps.values())
