"""job=train: trains a net and watches its features evolve."""

import logging
import sys
import time
import warnings
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
from convscope.metrics.multilabel import LossName
from convscope.plots.curves import training_curves
from convscope.runs.record import Picture, Record
from convscope.training.callbacks import FilterPictures, PagePerEpoch, RenormalizeFilters, RowPerEpoch, StepSeed
from convscope.training.checkpoint import AtomicCheckpointIO, Within, checkpoints
from convscope.training.classifier import Classifier
from convscope.training.evolution import FeatureEvolution
from convscope.training.exact_resume import RunningMetrics, Sessions
from convscope.training.guard import StopWhenNotFinite
from convscope.training.precision import ValidateInFloat32
from convscope.training.standstill import NoticeChance, WatchLayers
from convscope.training.stop import Request
from convscope.training.trainer import keep_freed_memory, refusals_told
from convscope.training.trainer import trainer as made_trainer


class Plan(NamedTuple):
    """trainer: arguments of Lightning's Trainer. description: what every checkpoint says of its net (plain values)."""

    trainer: dict[str, Any]
    choice: FeatureConfig
    seed: int
    description: dict[str, Any]
    within: Within = Within()


def chance_in(data: ImageData, loss: LossName) -> Chance:
    """What a net that has learned nothing reaches on the validation images."""
    every = torch.arange(data.size("val"))
    several = data.targets("val", every) if data.several else None
    return GOALS[loss].chance(data.labels("val", every), several, len(data.classes))


def goal_facts(data: ImageData, loss: LossName) -> dict[str, Any]:
    """What about.json and summary.json say of the aim of a run."""
    return GOALS[loss].facts(chance_in(data, loss))


def train(
    classifier: Classifier, data: ImageData, plan: Plan, record: Record, sessions: Sessions | None = None
) -> dict[str, Any]:
    """Fits the classifier; everything seen on the way is in the record. From checkpoints/last.ckpt where it is there.

    sessions: gets the seconds spent looking inside, and what earlier sessions of the run took. Returns what belongs in
    the summary: final and best row, images per second, warnings.
    Raises UserError when the loss stops being finite, Stopped when a signal has asked for the end.
    """
    keep_freed_memory()
    classifier.about = plan.description
    sessions, goal = sessions or Sessions({}, time.perf_counter()), GOALS[classifier.recipe.loss]
    chance = NoticeChance(record, goal, chance_in(data, classifier.recipe.loss))
    rows, layers = RowPerEpoch(record, goal), WatchLayers(record)
    evolution = FeatureEvolution(record, data, plan.choice, plan.seed)
    callbacks = [
        sessions,
        ValidateInFloat32(),
        StepSeed(plan.seed),
        RunningMetrics(),
        StopWhenNotFinite(),
        layers,
        *([RenormalizeFilters(classifier.recipe.renorm)] if classifier.recipe.renorm else []),
        evolution,
        FilterPictures(record, plan.choice),
        chance,
        rows,
        PagePerEpoch(record),
        *checkpoints(record.folder / "checkpoints", plan.within, Request(), goal),
        *([RichProgressBar()] if sys.stdout.isatty() else []),
    ]
    trainer = _trainer(plan.trainer, callbacks, record)
    last = record.folder / "checkpoints" / "last.ckpt"
    try:
        with refusals_told():
            trainer.fit(classifier, datamodule=data, ckpt_path=last if last.is_file() else None, weights_only=True)
    finally:
        sessions.seconds["looking"] = evolution.seconds
    if trainer.is_global_zero:
        record.add(Picture("curves", training_curves(rows.rows), "Loss and accuracy over the epochs", plot=True))
    return {
        "final": rows.rows[-1] if rows.rows else {},
        "best": goal.best(rows.rows),
        "images_per_second": sum(row["images_per_second"] for row in rows.rows) / max(1, len(rows.rows)),
        "warnings": [*layers.warnings, *chance.warnings],
    }


def _trainer(settings: dict[str, Any], callbacks: list[Any], record: Record) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no advertisements
    warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own business with torch
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # the cache needs none
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training")  # frozen batch norms
    warnings.filterwarnings("ignore", message=".*`srun` command is available")  # nobody has to use it
    warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU")  # training/trainer.py tells it
    warnings.filterwarnings("ignore", message=".*exists and is not empty")  # of a run that goes on
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # it is, data/module.py
    warnings.filterwarnings("ignore", message=".*sync_dist=True")  # what is logged is of all processes already
    return made_trainer(
        settings,
        callbacks=callbacks,
        logger=False,  # the record hands the loggers what is in metrics.csv
        plugins=[AtomicCheckpointIO(), *_cluster()],
        default_root_dir=record.folder,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the data module shards by itself
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
    )


def _cluster() -> list[Any]:
    """SLURM without Lightning's own requeueing: training/stop.py keeps the run before the launcher queues it again."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def logging_volume(config: FeatureConfig, epochs: int, net: nn.Module, image_size: int) -> tuple[int, int, int]:
    """How many epochs a training run draws, of how many layers, and how many maps of all layers together."""
    drawn = sum(config.draws_at(epoch) for epoch in range(1, epochs + 1))
    layers = drawn_layers(config, net, image_size)
    if isinstance(config.maps, int):
        return drawn, len(layers), len(layers) * config.maps
    return drawn, len(layers), sum(len(maps) for maps in config.maps.values())
