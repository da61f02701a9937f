"""Settings and description of job=check_data."""

from typing import Annotated

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, config


@config("check_data")
class CheckDataConfig:
    """few: training images that a class should have. classes, shown: classes in the picture, and images of each."""

    few: Annotated[int, Field(ge=0)] = 10
    classes: Count = 20
    shown: Count = 8


ABOUT = About(
    job="check_data",
    config=CheckDataConfig,
    label="",
    looks="",
    tiny=("check_data.shown=2",),
    topics=(
        Topic(
            "check",
            "Data",
            "What the images are",
            "",
            "Every image was read once: which cannot be, which are copies of others, which stand in two classes "
            "at once. An image of val that is in train, too, tests nothing; a class of few images is learned "
            "badly.",
        ),
    ),
)
