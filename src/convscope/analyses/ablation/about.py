"""Settings and description of job=ablate."""

from typing import Annotated, Literal

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, Split, config

Off = Literal["zero", "mean", "both"]


@config("ablate")
class AblationConfig:
    """layers: None: the last convolution or block. images: how many, their indices, or None for the whole split.

    maps: how many of each layer, chosen by seed, or their numbers; None: all. value: what takes a map's place. random:
    directions to compare with. mistakes: how many are taken apart.
    """

    layers: Annotated[list[str], Field(min_length=1, examples=["[conv3,conv5]"])] | None = None
    images: Count | list[int] | None = 500
    split: Split = "val"
    maps: Count | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    value: Off = "both"
    random: Count = 20
    mistakes: Annotated[int, Field(ge=0)] = 4


ABOUT = About(
    job="ablate",
    config=AblationConfig,
    label="ablation",
    looks="by switching its maps off",
    tiny=("ablate.images=12", "ablate.maps=3", "ablate.random=2", "ablate.mistakes=1"),
    topics=(
        Topic(
            "ablation",
            "Ablation",
            "What a map is for",
            "",
            "Each map of a layer is switched off, for every image. Classes whose probability falls needed the map. "
            "Beside it: a random direction of the same layer taken away, which is what a map that means nothing in "
            "particular would do. A mistake is taken apart by the maps that speak most for the wrong class.",
        ),
    ),
)
