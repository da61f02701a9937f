"""Settings and description of job=sanity."""

from typing import Annotated

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, Split, config


@config("sanity")
class SanityConfig:
    """layers: None: those that are drawn by default. searched: images among which the strongest are (None: all).

    maps: of each layer, evenly spread over those that are alive; images: the strongest of each. stages: in how many
    steps the weights become random. drawn: maps of a strip.
    """

    layers: Annotated[list[str], Field(min_length=1)] | None = None
    maps: Count = 8
    images: Annotated[int, Field(ge=2, le=9)] = 3
    searched: Annotated[int, Field(ge=2)] | None = 300
    split: Split = "val"
    stages: Count = 4
    drawn: Count = 3


ABOUT = About(
    job="sanity",
    config=SanityConfig,
    label="sanity of projections",
    looks="by random weights, other units and other images",
    tiny=("sanity.maps=2", "sanity.images=2", "sanity.searched=6", "sanity.stages=2", "sanity.layers=[conv1,conv5]"),
    topics=(
        Topic(
            "sanity",
            "Sanity",
            "Is a projection about the net, the unit and the image?",
            "",
            "A picture convinces even if it would be the same with random weights, for another unit or for another "
            "image. Dependence is 1 minus the similarity (cosine) of the two pictures: 0 where nothing changes, 1 "
            "where nothing remains. Recovery is the correlation with the edges of the image itself, which needs no "
            "learned weights at all. Each number stands beside that of an untrained net.",
        ),
    ),
    each_epoch={
        "depends_on_weights": "how much projections depend on the weights, 0 to 1",
        "depends_on_unit": "how much projections depend on the unit, 0 to 1",
        "depends_on_image": "how much projections depend on the image, 0 to 1",
    },
)
