"""Settings and description of job=evaluate."""

from typing import Annotated, Literal

from pydantic import Field

from convscope.analyses import About, Topic
from convscope.config import Count, Split, config

Crops = Literal["center", "ten", "fifty", "dense", "both"]


@config("evaluate")
class EvaluationConfig:
    """The crops of each image, and which images. scales: sides Q of the whole images (None: the stored side R).

    images: how many, their indices, or None for all of the split. confused: pairs of classes in the table.
    """

    crops: Crops = "center"
    scales: Annotated[list[int], Field(min_length=1, examples=["[224,256,288]"])] | None = None
    split: Split = "val"
    images: Count | list[int] | None = None
    batch_size: Count = 16
    confused: Count = 20


ABOUT = About(
    job="evaluate",
    config=EvaluationConfig,
    label="errors",
    looks="by its errors on the images of a split",
    divides=True,
    tiny=("evaluate.crops=ten", "evaluate.images=4", "evaluate.confused=2"),
    topics=(
        Topic(
            "evaluation",
            "Errors",
            "How often the net is right",
            "Table 2",
            "Errors are the share of images whose class is not the first guess (top-1), or not among the first "
            "five (top-5), with the interval that so few images leave open. The square shows which classes are "
            "taken for which: all that is off the diagonal is a mistake.",
        ),
    ),
)
