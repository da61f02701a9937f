"""Nets with the images that they were trained on, nets of libraries, and the records of runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from convscope.analyses.subject import Subject, new_subject, saved_subject
from convscope.api.arguments import naming_arguments
from convscope.api.examination import random_numbers
from convscope.data.config import default_keys
from convscope.errors import UserError
from convscope.runs import reading
from convscope.runs.reading import Run, is_run_folder


def load(trained: str | Path, **data: Any) -> Subject:
    """The net of a run folder or of a checkpoint file, with the images it was trained on.

    data: other images or settings of them, as the keys of conf/data: source="images", root="/photos", limit=100.
    Raises UserError for a file that is no checkpoint, and as its images do.
    """
    defaults = default_keys()
    if unknown := [key for key in data if key not in defaults]:
        raise UserError(f"no setting {', '.join(unknown)} of images; possible: {', '.join(defaults)}")
    if "image_size" in data:
        raise UserError("the size of the images is the net's: leave image_size out")
    if "root" in data and "source" not in data:
        raise UserError(
            'which images are there? source="images" takes any, source="folder" train/<class>/ and val/<class>/'
        )
    path = Path(trained).expanduser()
    last = path / "checkpoints" / "last.ckpt"
    path = last if last.is_file() else path
    overrides = (
        [f"data={data['source']}"] if "source" in data else [f"data.{key}={value}" for key, value in data.items()]
    )
    with naming_arguments(), random_numbers(torch.device("cpu")):
        return _eval(saved_subject(_settings(defaults | data, {}) | {"ckpt": str(path), "words": overrides}))


def pretrained(
    name: str, root: str | Path, weights: str | None = "IMAGENET1K_V1", library: str = "torchvision"
) -> Subject:
    """A net of torchvision or timm, and every image under `root`; its most probable class stands for the true one.

    weights: a name or tag, downloaded at the first time; or a file. Raises UserError for an unknown net, and for a file
    that does not fit.
    """
    model = {"source": library, "name": name, "weights": weights}
    with naming_arguments(), random_numbers(torch.device("cpu")):
        return _eval(new_subject(_settings(default_keys() | {"root": str(root)}, model), keep_classes=True))


def read_run(folder: str | Path) -> Run:
    """The records in a run folder, of a finished or unfinished run. Raises UserError for a folder that is no run's."""
    path = Path(folder).expanduser()
    if not is_run_folder(path):
        raise UserError(f"{folder} is no run folder; name one of outputs/<job>/")
    return reading.read_run(path)


def _settings(data: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": dict(data), "model": dict(model), "optim": {"batch_size": 64}, "seed": 0}


def _eval(subject: Subject) -> Subject:
    subject.net.eval()
    return subject
