"""Settings and description of job=invariance."""

from typing import Annotated, Literal

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, Split, config

Fill = Literal["gray", "edge", "reflect"]  # pixels from outside the image: the mean, the border repeated, or reflected


@config("invariance")
class InvarianceConfig:
    """Which images and layers. images: how many, or their indices. layers: None: the first and the last hidden one."""

    images: Count | list[int] = 5
    scored: Count = 100
    split: Split = "val"
    layers: Annotated[list[str], Field(min_length=1)] | None = None
    fill: Fill = "gray"


ABOUT = About(
    job="invariance",
    config=InvarianceConfig,
    label="invariance",
    looks="by shifting, enlarging and rotating images",
    tiny=("invariance.images=1", "invariance.scored=2", "invariance.layers=[conv1,fc7]"),
    topics=(
        Topic(
            "invariance",
            "Invariance",
            "Which changes of an image the net ignores",
            "Fig. 5",
            "Images are shifted, enlarged and rotated step by step. The curves show how far the features of a "
            "layer move away from those of the unchanged image, and how probable the true class stays. A flat "
            "curve: the change does not matter here. The paper finds upper layers less disturbed by shift and "
            "scale, but not by rotation. Pooling alone gives part of it: an untrained net shows some, too.",
        ),
    ),
)
