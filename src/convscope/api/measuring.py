"""What a net is worth: one function for each analysis over whole sets of images, equal to the job of the same name."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from convscope.analyses.claims.about import ClaimsConfig
from convscope.analyses.evaluation.about import Crops, EvaluationConfig
from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.about import RANDOM, Kind, TransferConfig
from convscope.api.arguments import config_of, naming_arguments
from convscope.api.examination import examining, random_numbers
from convscope.api.findings import Findings, collect
from convscope.api.looking import Choice, Net, analyze, settings_of
from convscope.api.opening import load
from convscope.api.subjects import as_subject
from convscope.config import Split
from convscope.data.dataset_images import DatasetImages
from convscope.errors import UserError
from convscope.models.build import ConvNet, build
from convscope.runs.reading import Run

OWN_IMAGES = (
    "the net was trained on these very images: how well its features tell them apart says nothing of other images; "
    'open it with others, e.g. load(run, source="folder", root="/photos")'
)


def neighbors(
    net: Net,
    data: Any = None,
    *,
    images: Choice = 8,
    nearest: int = 6,
    layer: str | None = None,
    scored: int | None = 200,
    seed: int = 0,
) -> Findings:
    """The training images nearest in features, and the most probable classes (Krizhevsky et al. 2012, section 6.1).

    Needs a subject with train images: neighbors(convscope.subject(net, val, train=train)). images: validation images,
    how many or their indices. nearest: training images of each. layer: whose features are compared by Euclidean
    distance, None: the last hidden one. scored: images that the agreement of classes is counted over, None: all.
    Picture neighbors/nearest; tables neighbors/images and nearest; numbers neighbors/agreement and chance (0 to 1).
    """
    return analyze("neighbors", as_subject(net, data), settings_of(locals()), seed)


def evaluate(
    net: Net | Mapping[str, Subject],
    data: Any = None,
    *,
    crops: Crops = "center",
    scales: Sequence[int] | None = None,
    split: Split = "val",
    images: Choice | None = None,
    batch_size: int = 16,
    confused: int = 20,
    seed: int = 0,
) -> Findings:
    """Top-1, top-5 and class mean accuracy with intervals, and which classes are confused (Table 2).

    net: also several by name, {"a": subject, "b": subject}, with their mean softmax as an ensemble on the images of the
    first. crops: center; ten, fifty, dense or both only where images are files, which have more pixels than the net
    sees. scales: smallest sides of the whole images in pixels. images: how many, their indices, or None for all.
    Picture evaluation/confusion; tables evaluation/table, confusion, confused; numbers evaluation/top1 (0 to 1).
    """
    settings = settings_of(locals())
    several = dict(net) if isinstance(net, Mapping) else {"": as_subject(net, data)}
    if not several or any(not isinstance(subject, Subject) for subject in several.values()):
        raise UserError("net= names no Subject; pass a net and images, or {name: subject} of one net or more")
    first = next(iter(several.values()))
    if list(first.data.classes) == ["unlabeled"]:
        raise UserError("images have no labels; pass subject(net, images, labels=...), or a data set that has them")
    if crops != "center" and isinstance(first.data, DatasetImages):
        raise UserError(
            f"crops={crops!r} are cut from larger images, and these are tensors as the net takes them; pass a "
            'folder or files as images, or crops="center"'
        )

    def results(subject: Subject, config: EvaluationConfig, seed: int) -> Iterator[Any]:
        from convscope.analyses.evaluation.compute import EvaluatedNet

        nets = [EvaluatedNet(name or member.net_name, member) for name, member in several.items()]
        found: Iterator[Any] = import_module("convscope.analyses.evaluation.job").evaluate(nets, config, seed)
        return found

    return analyze("evaluation", first, settings, seed, results, several.values())


def transfer(
    net: Net,
    data: Any = None,
    *,
    layers: Sequence[str] | None = None,
    classifiers: Sequence[Kind] = ("svm", "softmax"),
    per_class: Sequence[int] = (5, 10, 15, 30),
    test_per_class: int = 50,
    folds: int = 5,
    c: Sequence[float] = (1.0, 10.0, 100.0),
    grid: int = 6,
    unit_length: bool = True,
    store: Literal["float32", "float16"] = "float32",
    keep: str | Path | None = None,
    features: Literal["layers", "dense"] = "layers",
    scales: Sequence[int] | None = None,
    pool: Literal["stack", "average"] = "stack",
    beside: Sequence[str | Path] | Mapping[str, Subject] | None = (RANDOM,),
    seed: int = 0,
) -> Findings:
    """Linear classifiers on the frozen features of each layer, from few images of each class (section 5.2, Fig. 9).

    The images of val and, where a subject has them, of train are pooled, and each of `folds` draws per_class of each
    class to learn from and test_per_class to test. c: regularizations tried. grid: maps become maxima of grid x grid
    parts. unit_length: features are scaled to it. store, keep: how features lie on disk, a folder where they stay.
    beside: "random" (the same net with fresh weights), checkpoints, or {name: subject}, treated alike. features: dense:
    those of whole images at `scales` too, of files alone. Picture transfer/curves; table transfer/table (accuracy %).
    """
    settings = {**settings_of(locals()), "beside": None if isinstance(beside, Mapping) else beside}
    subject = as_subject(net, data)
    if isinstance(beside, Mapping) and not all(isinstance(other, Subject) for other in beside.values()):
        raise UserError(f"beside={list(beside)} has a net that is no Subject; make one with convscope.subject")

    if subject.own_images:
        warnings.warn(OWN_IMAGES, stacklevel=2)

    def results(subject: Subject, config: TransferConfig, seed: int) -> Iterator[Any]:
        job: Any = import_module("convscope.analyses.transfer.job")
        fresh = partial(_random_subject, subject, seed)
        nets = beside if isinstance(beside, Mapping) else job.compared_nets(config.beside or [], load, fresh)
        found: Iterator[Any] = job.transfer(subject, config, seed, nets)
        return found

    others = beside.values() if isinstance(beside, Mapping) else ()
    return analyze("transfer", subject, settings, seed, results, others)


def _random_subject(subject: Subject, seed: int) -> Subject:
    """The same net and images with fresh random weights."""
    fresh = random_net(subject.net, seed).to(subject.device).eval()
    return subject._replace(net=fresh, own_images=False)


def random_net(net: nn.Module, seed: int) -> nn.Module:
    """A copy of the net with fresh random weights. Raises UserError for modules that cannot draw their weights anew."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(net, ConvNet):
            return build(net.layers, net.image_size, net.classes)
        fresh = copy.deepcopy(net).cpu()
        for path, module in fresh.named_modules():
            draw = getattr(module, "reset_parameters", None)
            if callable(draw):
                draw()
            elif any(True for _ in module.parameters(recurse=False)):
                raise UserError(
                    f"{path or 'the net'} ({type(module).__name__}) cannot draw its weights anew; pass beside=None, or "
                    'beside={"random weights": convscope.subject(<such a net>, images)}'
                )
    return fresh


def overlap(
    images: Any,
    other: Any = None,
    *,
    size: int = 32,
    channels: Literal["gray", "color"] = "gray",
    threshold: float = 0.97,
    mirrored: bool = False,
    shown: int = 48,
    copies: int = 200,
    seed: int = 0,
) -> Findings:
    """Images that two sets share, to be left out of training (section 5.2).

    images, other: each a folder or list of image files, a tensor [N, C, H, W], a data set, or a loader; or images a
    Subject, whose train images are compared with its val. size: pixels of a side at which images are compared, by their
    correlation from threshold on; channels: gray, or color. mirrored: mirror images count. shown: pairs in a picture.
    copies: images altered and searched. Picture overlap/pairs; tables overlap, overlap/pairs; number overlap/images.
    """
    settings = {"size": size, "channels": channels, "threshold": threshold, "mirrored": mirrored, "shown": shown,
                "copies": copies}  # fmt: skip
    with naming_arguments(other=other, **settings), random_numbers(torch.device("cpu"), seed):
        config = config_of(OverlapConfig, settings)
        from convscope.api.two_sets import two_collections

        results = import_module("convscope.analyses.overlap.job").overlap(
            *two_collections(images, other, size), config, seed
        )
        return collect("overlap", results)


def claims(
    run: str | Path | Run,
    *,
    scored: int = 100,
    against: str | Path | Sequence[str | Path] | None = None,
    boxes: str | Path | None = None,
    parts: str | Path | None = None,
    only: Mapping[str, Any] | None = None,
    transfer: str | Path | None = None,
    seed: int = 0,
) -> Findings:
    """The paper's claims about convnets, each tested with numbers and a 95 % interval on one training run.

    run: the folder of a training run, or what read_run makes of it. scored: images. against: folders of other runs, for
    claims that compare. boxes, parts, only: as of occlude and correspond. transfer: the folder of such a job.
    Picture claims/intervals; tables claims/table (verdicts) and claims/reasons; numbers claims/<claim>.
    """
    folder = run.folder if isinstance(run, Run) else Path(run).expanduser()
    settings = {"scored": scored, "against": against, "boxes": boxes, "parts": parts, "only": only,
                "transfer": transfer}  # fmt: skip
    with naming_arguments(run=str(folder), **settings):
        config = config_of(ClaimsConfig, settings)
        if not (folder / "checkpoints" / "last.ckpt").is_file():
            raise UserError(
                f"run={folder} is no folder of a training run: it has no checkpoints/last.ckpt; "
                "pass outputs/train/<run>"
            )
        subject = load(folder)
        with examining(subject.net, seed):
            return collect(
                "claims", import_module("convscope.analyses.claims.job").claims(subject, folder, config, seed)
            )
