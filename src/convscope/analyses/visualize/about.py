"""Settings and description of job=visualize, and of what a training run draws after its epochs (conf/evolution)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from convscope.analyses import About, Topic, abouts
from convscope.config import Count, config
from convscope.errors import UserError, did_you_mean

AUTO: Literal["auto"] = "auto"  # the rule is chosen for each layer by what is measured (engine/projection_rule.py)
RuleName = Literal["auto", "deconvnet", "guided", "gradient"]
SIDE, SMALL_SIDE = 96, 56  # pixels of a tile by default; where more than MANY maps of a layer are drawn
LARGEST_SIDE = 512
MANY = 24


@config("evolution")
class FeatureConfig:
    """Which layers and maps are drawn, at which epochs (None: every one), from which images.

    maps: how many of each layer, or layer -> their numbers. rule: how features are projected; runs of version 0.1,
    which name no rule, go on with the deconvnet. tile: pixels, None for a choice by the number of maps. measures: jobs
    whose numbers of each layer are measured too, after each drawn epoch of a training.
    """

    layers: Annotated[list[str], Field(min_length=1, examples=["[conv1,conv5]"])] | None
    maps: Count | dict[str, list[int]]
    epochs: list[int] | None
    images: Literal["val", "train"]
    rule: RuleName = "deconvnet"
    tile: Annotated[int, Field(ge=16, le=LARGEST_SIDE)] | None = None
    measures: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_measures(self) -> "FeatureConfig":
        check_measures("evolution.measures", self.measures)
        return self

    def tile_side(self, maps: int) -> int:
        """Pixels of a tile of a layer of which so many maps are drawn; of many smaller, so that a run stays small."""
        return self.tile or (SMALL_SIDE if maps > MANY else SIDE)

    def maps_and_tile(self, layers: int) -> tuple[int, int]:
        """How many maps of so many layers are drawn, and the side of their tiles in pixels."""
        maps = layers * self.maps if isinstance(self.maps, int) else sum(map(len, self.maps.values()))
        return maps, self.tile_side(-(-maps // max(1, layers)))

    def draws_at(self, epoch: int) -> bool:
        """Whether features are drawn after this epoch, counted from 1."""
        return self.epochs is None or epoch in self.epochs


def check_measures(key: str, jobs: Sequence[str]) -> None:
    """Raises UserError for a job that measures nothing after an epoch. key: for the message."""
    possible = [about.job for about in abouts().values() if about.each_epoch]
    for job in jobs:
        if job not in possible:
            measures = f"possible: {', '.join(possible)}, or [] for none"
            raise UserError(f"{key}: {job} measures no layers after an epoch{did_you_mean(job, possible)}; {measures}")


@config("evolution", elsewhere={"rules": "rule"})
class VisualizeConfig(FeatureConfig):
    """The same of job=visualize. rules: one rule, several side by side, or all."""

    rules: RuleName | Literal["all"] | list[RuleName] = AUTO

    @model_validator(mode="after")
    def _has_a_rule(self) -> "VisualizeConfig":
        if self.rules == []:
            raise UserError("rule=[] is no rule; possible: auto, deconvnet, guided, gradient, a list of them, or all")
        return self


ABOUT = About(
    job="visualize",
    config=VisualizeConfig,
    label="features",
    looks="by what excites its maps",
    divides=True,
    tiny=("rule=all", "evolution.maps=2", "evolution.layers=[conv1,conv5]"),
    topics=(
        Topic(
            "rules",
            "Rules",
            "The same units by three rules",
            "Fig. 2",
            "What excites a unit, projected back to pixels in three ways that differ only at the ReLUs: the "
            "paper's deconvnet lets pass what is positive on the way down, the gradient what was positive on "
            "the way up, guided back-propagation what is both.",
        ),
    ),
)
