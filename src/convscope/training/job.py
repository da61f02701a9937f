"""job=train: trains a net and records how its features evolve."""

import logging
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from torch import nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.analyses.visualize.compute import drawn_layers
from convscope.data.module import ImageData
from convscope.metrics.goals import GOALS, Chance
from convscope.metrics.loss_gap import loss_gap_in_words, training_conditions
from convscope.metrics.multilabel import LossName
from convscope.plots.curves import training_curves
from convscope.runs.picture_files import megabytes, pictures_in_words
from convscope.runs.record import Picture, Record
from convscope.training.callbacks.checkpoints import AtomicCheckpointIO, Within, checkpoint_callbacks
from convscope.training.callbacks.epoch_records import (
    BeginRecord,
    DrawingBeside,
    FilterPictures,
    PagePerEpoch,
    RowPerEpoch,
)
from convscope.training.callbacks.exact_resume import RunningMetrics, StepSeed
from convscope.training.callbacks.failure_checks import WarnAtChance, WatchLayers
from convscope.training.callbacks.feature_evolution import FeatureEvolution
from convscope.training.callbacks.filter_renormalization import RenormalizeFilters
from convscope.training.callbacks.finite_numbers import StopWhenNotFinite
from convscope.training.callbacks.float32_validation import ValidateInFloat32
from convscope.training.callbacks.plain_lines import LinesWithinEpoch
from convscope.training.callbacks.session_seconds import Sessions
from convscope.training.classifier import Classifier
from convscope.training.loaders import TrainingImages
from convscope.training.recipe import Recipe
from convscope.training.stop import StopRequest
from convscope.training.trainer import build_trainer, lightning_refusals
from convscope.training.watching.own_run import OwnRun

IGNORED_WARNINGS = (
    ".*LeafSpec",  # Lightning's use of torch
    ".*does not have many workers",  # the cache needs none
    ".*in eval mode at the start of training",  # frozen batch norms
    ".*`srun` command is available",  # a run on a login node is legitimate
    ".*AMP with fp16 is not supported on CPU",  # training/trainer.py warns of it in plain words
    ".*exists and is not empty",  # the folder of a resumed run
    ".*your dataloader is not resumable",  # it is, see data/module.py
    ".*all_gather is deprecated",  # Lightning's use of torch.distributed
    ".*sync_dist=True",  # metrics are reduced over all processes before they are logged
)


class TrainingPlan(NamedTuple):
    """The settings of a training run.

    trainer: arguments of Lightning's Trainer. choice: the features to draw, and when. description: plain values that
    every checkpoint stores about its net. within: how often last.ckpt is written within an epoch.
    """

    trainer: dict[str, Any]
    choice: FeatureConfig
    seed: int
    description: dict[str, Any]
    within: Within = Within()


def chance_in(data: ImageData, loss: LossName) -> Chance:
    """What a net that has learned nothing reaches on the validation images."""
    images = torch.arange(data.size("val"))
    targets = data.targets("val", images) if data.several else None
    return GOALS[loss].chance(data.labels("val", images), targets, len(data.classes))


def goal_facts(data: ImageData, loss: LossName) -> dict[str, Any]:
    """The goal of a run and its chance, as entries of about.json and summary.json."""
    return GOALS[loss].facts(chance_in(data, loss))


def conditions(classifier: Classifier, data: ImageData) -> list[str]:
    """What makes training images harder than validation images, an entry of about.json and summary.json."""
    recipe, images = classifier.recipe, data.settings
    dropout = any(_drops(module) for module in classifier.net.modules())
    smoothing = recipe.label_smoothing if recipe.loss == "softmax" else 0.0
    crops = images.stored_size > images.image_size
    return training_conditions(dropout, crops, getattr(images, "color_noise", 0.0), smoothing, len(data.classes))


def _drops(module: nn.Module) -> bool:
    """Whether the module drops values in training: a row with dropout, torch's Dropout, or timm's DropPath."""
    kinds = (nn.modules.dropout._DropoutNd,)
    rates = getattr(module, "dropout", 0), getattr(module, "drop_prob", 0), isinstance(module, kinds) and module.p
    return any(isinstance(rate, int | float) and rate > 0 for rate in rates)


class Watchers(NamedTuple):
    """The callbacks whose results a run reports at its end, and the one that begins its record."""

    begin: BeginRecord
    sessions: Sessions
    layers: WatchLayers
    evolution: FeatureEvolution
    chance: WarnAtChance
    rows: RowPerEpoch
    features: OwnRun


def train(
    classifier: Classifier,
    data: ImageData,
    plan: TrainingPlan,
    record: Record,
    sessions: Sessions | None = None,
    begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Trains the classifier, from checkpoints/last.ckpt in the run folder if it is there. Results go into the record.

    sessions: gets the seconds spent on feature evolution and, for a resumed run, those of earlier sessions. begin: is
    called before the first step; the folder is not changed before. Returns entries of summary.json: final and best row,
    images per second, warnings.
    Raises UserError when the loss stops being finite, Stopped when a signal has asked the run to stop.
    """
    classifier.about = plan.description
    goal = GOALS[classifier.recipe.loss]
    rows, features = RowPerEpoch(record, goal), OwnRun(record, data, plan.choice, plan.seed)
    watchers = Watchers(
        BeginRecord(begin, rows),
        sessions or Sessions({}, time.perf_counter()),
        WatchLayers(record),
        FeatureEvolution.of_run(features),
        WarnAtChance(record, goal, chance_in(data, classifier.recipe.loss)),
        rows,
        features,
    )
    trainer = _trainer(plan.trainer, _callbacks(watchers, classifier.recipe, plan, record), record)
    images, last = TrainingImages(data), record.folder / "checkpoints" / "last.ckpt"
    try:
        beside = record.background.beside() if draws_beside(trainer.strategy.root_device) else nullcontext()
        with lightning_refusals(), beside:
            trainer.fit(
                classifier,
                datamodule=images,
                ckpt_path=last if last.is_file() else None,
                weights_only=True,
            )
    finally:
        watchers.sessions.seconds["looking"] = watchers.evolution.seconds
    measured = rows.rows
    if trainer.is_global_zero:
        training, validation = ([row.get(f"{split}/loss") for row in measured] for split in ("train", "val"))
        gap = loss_gap_in_words(training, validation, conditions(classifier, data))
        caption = f"Loss and accuracy over the epochs. {gap}".rstrip(". ")
        record.add(Picture("curves", training_curves(measured), caption, plot=True))
    return {
        "final": measured[-1] if measured else {},
        "best": goal.best(measured),
        "images_per_second": sum(row["images_per_second"] for row in measured) / max(1, len(measured)),
        "warnings": [*watchers.layers.warnings, *watchers.chance.warnings],
    }


def draws_beside(device: torch.device) -> bool:
    """Whether an epoch is drawn while the next one trains; on a CPU both would want the same cores."""
    return device.type != "cpu"


def _callbacks(watchers: Watchers, recipe: Recipe, plan: TrainingPlan, record: Record) -> list[Any]:
    """All callbacks in the order in which Lightning calls them; it calls those of checkpoints last in any case."""
    filters = FilterPictures(record, plan.choice)
    return [
        watchers.begin,
        watchers.sessions,
        ValidateInFloat32(),
        StepSeed(plan.seed),
        RunningMetrics(),
        StopWhenNotFinite(),
        watchers.layers,
        *([RenormalizeFilters(recipe.renorm)] if recipe.renorm else []),
        DrawingBeside(record, watchers.features, filters, watchers.rows),
        watchers.evolution,
        filters,
        watchers.chance,
        watchers.rows,
        PagePerEpoch(record),
        *checkpoint_callbacks(record.folder / "checkpoints", plan.within, StopRequest(), GOALS[recipe.loss]),
        RichProgressBar() if sys.stdout.isatty() else LinesWithinEpoch(),
    ]


def _trainer(settings: dict[str, Any], callbacks: list[Any], record: Record) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no advertisements
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    return build_trainer(
        settings,
        callbacks=callbacks,
        logger=False,  # the record passes the rows of metrics.csv on to the loggers
        plugins=[AtomicCheckpointIO(), *_cluster()],
        default_root_dir=record.folder,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the data module splits images over processes
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
    )


def _cluster() -> list[Any]:
    """SLURM without Lightning's requeueing: training/stop.py waits for a checkpoint before the launcher requeues."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def logging_volume(config: FeatureConfig, epochs: int, net: nn.Module, image_size: int) -> tuple[int, int, int, int]:
    """How many epochs a training run draws, of how many layers, how many maps of all layers together, and the side of
    their tiles.
    """
    drawn = sum(config.draws_at(epoch) for epoch in range(1, epochs + 1))
    layers = len(drawn_layers(config, net, image_size))
    return drawn, layers, *config.maps_and_tile(layers)


def written_volume(config: FeatureConfig, epochs: int, net: nn.Module, image_size: int) -> str:
    """A line with about how much a training run will write: pictures, and two checkpoints of weights and momentum."""
    pictures = pictures_in_words(*logging_volume(config, epochs, net, image_size))
    checkpoint = 8 * sum(weight.numel() for weight in net.parameters()) / 1e6
    checkpoints = f"two checkpoints of {megabytes(checkpoint)}"
    if not pictures:
        return f"this run writes {checkpoints}, and no pictures of features"
    keys = "evolution.maps, evolution.epochs, evolution.tile"
    return f"this run writes {pictures} and {checkpoints}; less with {keys}"
