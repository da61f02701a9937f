"""Settings and description of job=overlap."""

from typing import Annotated, Literal

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, PathText, config


@config("overlap")
class OverlapConfig:
    """How images are compared. other: a folder of images (None: train with val). size: pixels of a side.

    threshold: correlation from which images count as copies. shown: pairs in a picture. copies: images cut and saved
    anew, to see which copies are detected.
    """

    other: PathText | None = None
    size: Annotated[int, Field(ge=4, le=256, examples=[32])] = 32
    channels: Literal["gray", "color"] = "gray"
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.97
    mirrored: bool = False
    shown: Count = 48
    copies: Count = 200


ABOUT = About(
    job="overlap",
    config=OverlapConfig,
    label="",
    looks="",
    tiny=("overlap.size=8", "overlap.shown=2", "overlap.copies=4"),
    topics=(
        Topic(
            "overlap",
            "Overlap",
            "Which images two sets share",
            "section 5.2",
            "A net that has seen a test image in training is not tested by it. Every image of one set is laid "
            "over every image of the other, small and in gray: a correlation of 1 is a copy, whatever its "
            "brightness and contrast. Copies that were cropped or turned escape such a search. Look at the "
            "pairs on both sides of the threshold.",
        ),
    ),
)
