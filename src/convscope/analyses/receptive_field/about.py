"""Settings and description of job=receptive."""

from typing import Annotated, Literal

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, Split, config

ALL: Literal["all"] = "all"


@config("receptive")
class ReceptiveConfig:
    """images: how many, or their indices. layers: names, all, or None: the layers that are drawn by default."""

    images: Count | list[int] = 100
    split: Split = "val"
    layers: Annotated[list[str], Field(min_length=1, examples=["[conv1,conv5]", "all"])] | Literal["all"] | None = None


ABOUT = About(
    job="receptive",
    config=ReceptiveConfig,
    label="receptive fields",
    looks="by the pixels from which its central units get their gradient",
    tiny=("receptive.images=4", "receptive.layers=[conv1,conv5]"),
    topics=(
        Topic(
            "receptive",
            "Receptive fields",
            "How much of the image one unit sees",
            "Fig. 3",
            "A unit can answer to one square of the image, its receptive field: small in the first layer, larger "
            "in every layer after it. The stride is the number of pixels from one unit's square to its "
            "neighbor's. Most of a unit's value comes from a smaller square in the middle, the effective field: "
            "the pixels whose small changes move the unit. It holds 95 % of the gradient's energy, and is to be "
            "compared with that of the same net before training.",
        ),
    ),
    each_epoch={"field": "share of the receptive field's side that holds 95 % of the gradient"},
)
