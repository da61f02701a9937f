"""Settings and description of job=correspond."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from convscope.analyses import About, Topic
from convscope.config import PathText, Split, config
from convscope.errors import UserError


@config("correspond")
class CorrespondenceConfig:
    """Which images, parts and layers, and what covers them. images: how many, their indices, or None for all.

    parts, only: a csv file of parts, and rows of it. mask: pixels (None: a seventh of the image). random: places.
    """

    images: Annotated[int, Field(ge=2)] | list[int] | None = 5
    split: Split = "val"
    parts: PathText | None = None
    only: dict[str, Any] | None = None
    layers: Annotated[list[str], Field(min_length=1)] | None = None
    mask: int | None = None
    value: float = 0.0
    random: Annotated[int, Field(ge=1, examples=[20])] = 20

    @model_validator(mode="after")
    def _has_pairs(self) -> "CorrespondenceConfig":
        if isinstance(self.images, list):
            if len(set(self.images)) != len(self.images):
                raise UserError(
                    f"correspond.images={self.images} names an image twice, which agrees with itself; name each once"
                )
            if len(self.images) < 2:
                raise UserError(
                    f"correspond.images={self.images}: two or more are needed, because it is two that agree"
                )
        return self


ABOUT = About(
    job="correspond",
    config=CorrespondenceConfig,
    label="correspondence",
    looks="by covering the same part in several images",
    tiny=("correspond.images=3", "correspond.random=2", "correspond.layers=[conv5]"),
    topics=(
        Topic(
            "correspondence",
            "Correspondence",
            "Which parts correspond between images",
            "Table 1",
            "The same part, such as the left eye, is covered in several images, and the signs of the features' "
            "changes are compared from image to image: 0 when they all agree. A part that scores lower than "
            "random places corresponds. An untrained net can show this, too: gray over a dark eye changes "
            "pixels alike.",
        ),
    ),
)
