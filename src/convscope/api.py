"""convscope from Python: open a net with its images, search its top-9, project, occlude, read a run folder.

from convscope import load, top9, grid
net = load("outputs/train/<run>")
grid(net, top9(net, ["conv3"]), "conv3")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from convscope.analyses.occlusion.compute import Occluded, Occluder, default_occluder, strongest_map
from convscope.analyses.occlusion.compute import occlude as cover
from convscope.analyses.subject import Subject, new_subject, saved_subject
from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import SplitPixels, drawn_maps, feature_view, search_top9
from convscope.analyses.visualize.figure import feature_grid
from convscope.data.config import default_keys
from convscope.data.module import SplitName
from convscope.engine.blocks import default_layers
from convscope.engine.cropped_projection import Projection, project_fields
from convscope.engine.deconvnet import Units
from convscope.engine.features import features
from convscope.engine.layers import layer_roles
from convscope.engine.top9 import Top9
from convscope.errors import UserError
from convscope.runs import reading
from convscope.runs.reading import Run, is_run_folder

__all__ = ["Run", "Subject", "Top9", "grid", "load", "occlude", "pretrained", "project", "read_run", "top9"]


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
    path = Path(trained)
    last = path / "checkpoints" / "last.ckpt"
    path = last if last.is_file() else path
    overrides = (
        [f"data={data['source']}"] if "source" in data else [f"data.{key}={value}" for key, value in data.items()]
    )
    return _eval(saved_subject(_settings(defaults | data, {}) | {"ckpt": str(path), "words": overrides}))


def pretrained(
    name: str, root: str | Path, weights: str | None = "IMAGENET1K_V1", library: str = "torchvision"
) -> Subject:
    """A net of torchvision or timm, and every image under `root`; its most probable class stands for the true one.

    weights: a name or tag, downloaded at the first time; or a file. Raises UserError for an unknown net, and for a file
    that does not fit.
    """
    model = {"source": library, "name": name, "weights": weights}
    return _eval(new_subject(_settings(default_keys() | {"root": str(root)}, model), keep_classes=True))


def read_run(folder: str | Path) -> Run:
    """The records in a run folder, of a finished or unfinished run. Raises UserError for a folder that is no run's."""
    if not is_run_folder(Path(folder)):
        raise UserError(f"{folder} is no run folder; name one of outputs/<job>/")
    return reading.read_run(folder)


def top9(subject: Subject, layers: Sequence[str] | None = None, split: SplitName = "val") -> dict[str, Top9]:
    """Layer -> the nine images that excite each of its maps most (Fig. 2). layers: None: those drawn by default."""
    chosen = layers or default_layers(subject.net, subject.data.image_shape)
    return search_top9(subject.net, subject.data, split, chosen)


def grid(
    subject: Subject, tops: Mapping[str, Top9], layer: str, maps: int | Sequence[int] = 8, split: SplitName = "val"
) -> Image.Image:
    """Nine projections beside nine image patches for each map. maps: how many, or their numbers."""
    if layer not in tops:
        raise UserError(f"no record of {layer}; there are those of {', '.join(tops)}: top9(net, [{layer!r}]) makes it")
    images: Literal["val", "train"] = "train" if split == "train" else "val"
    chosen = FeatureConfig([layer], maps if isinstance(maps, int) else {layer: list(maps)}, None, images)
    numbers = drawn_maps(chosen, layer, len(tops[layer].score), seed=0)
    view = feature_view(subject.net, SplitPixels(subject.data, split), layer, tops[layer], numbers)
    return feature_grid(view, f"{layer}: projections beside the image patches").image


def project(subject: Subject, images: Tensor, layer: str, map_: int, rule: str = "deconvnet") -> Projection:
    """The strongest unit of a map in each of the images [N, 3, H, W], projected to its receptive field (section 2.1).

    images: as the net sees them, e.g. subject.data.images("val", [3, 7]). values [N, 3, S, S]; top, left: where the
    field begins in the image. rule: deconvnet, guided or gradient.
    """
    activations = features(subject.net, images.to(subject.device), [layer]).layers[layer]
    if not 0 <= map_ < activations.shape[1]:
        raise UserError(f"{layer} has maps 0 to {activations.shape[1] - 1}, not {map_}")
    position = activations[:, map_].flatten(1).argmax(1).cpu()
    columns = activations.shape[3] if activations.dim() == 4 else 1
    maps = torch.full((len(images),), map_)
    units = Units(torch.arange(len(images)), maps, position // columns, position % columns)
    return project_fields(subject.net, images.to(subject.device), layer, units, rule)


def occlude(subject: Subject, index: int, split: SplitName = "val", square: Occluder | None = None) -> Occluded:
    """Activations and probabilities while a gray square covers one place of the image after another (Fig. 7).

    The map is the strongest of the last convolution or block (section 4.2). square: None: a seventh of the side.
    """
    example = subject.examples(split, [index])
    image, size = example.image[0].to(subject.device), subject.data.settings.image_size
    layer = layer_roles(subject.net, size).maps
    map_ = strongest_map(subject.net, image, layer)
    return cover(subject.net, image, layer, map_, int(example.target[0]), square or default_occluder(size))


def _settings(data: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": dict(data), "model": dict(model), "optim": {"batch_size": 64}, "seed": 0}


def _eval(subject: Subject) -> Subject:
    subject.net.eval()
    return subject
