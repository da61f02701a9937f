"""Settings and description of job=dissect."""

from typing import Annotated

from pydantic import Field, model_validator

from convscope.analyses import About, Topic
from convscope.config import Count, PathText, Split, config
from convscope.errors import UserError

THRESHOLD = 0.04  # IoU of a detector (Bau et al. 2017)
QUANTILE = 0.995  # of a map's activations that are below its threshold (there)


@config("dissect")
class DissectionConfig:
    """Which images, parts and layers. images: how many, or their indices. layers: None: those drawn by default.

    masks, parts: a folder of masks, a csv of boxes or points (a disc of `radius` pixels). threshold: IoU of a detector.
    quantile: of a map's activations. shuffles: how often masks change places. untrained: whether to compare with the
    net with fresh weights. shown: detectors in the picture of a layer.
    """

    images: Count | list[int] = 500
    split: Split = "val"
    layers: Annotated[list[str], Field(min_length=1)] | None = None
    masks: PathText | None = None
    parts: PathText | None = None
    radius: Annotated[float, Field(gt=0)] | None = None
    threshold: Annotated[float, Field(ge=0, lt=1)] = THRESHOLD
    quantile: Annotated[float, Field(gt=0, lt=1)] = QUANTILE
    shuffles: Annotated[int, Field(ge=1, le=100)] = 5
    untrained: bool = True
    shown: Annotated[int, Field(ge=1, le=50)] = 8

    @model_validator(mode="after")
    def _has_one_kind_of_masks(self) -> "DissectionConfig":
        if self.masks is not None and self.parts is not None:
            raise UserError("dissect.masks and dissect.parts both say where the parts are; name one of them")
        if isinstance(self.images, list) and len(set(self.images)) != len(self.images):
            raise UserError(f"dissect.images={self.images} names an image twice; name each once")
        return self


ABOUT = About(
    job="dissect",
    config=DissectionConfig,
    label="dissection",
    looks="by where its maps are strong, against masks of parts",
    tiny=("dissect.images=6", "dissect.shuffles=2", "dissect.layers=[conv1,conv5]"),
    topics=(
        Topic(
            "dissection",
            "Dissection",
            "Which part a map answers to",
            "",
            "A map is strong where it exceeds the value that only one in 200 of its activations exceeds. The area "
            "where it is strong is compared with the masks of each part: IoU is the area of both together over the "
            "area of either, over all images (Bau et al. 2017). Two nulls stand beside it: the same maps against masks "
            "of other images, and the maps of the same net with fresh random weights.",
        ),
    ),
    each_epoch={"detectors": "maps that detect a part"},
)
