"""Settings of job=diagnose."""

from dataclasses import dataclass
from typing import Literal

from convscope.errors import UserError


@dataclass(frozen=True)
class Diagnose:
    """conf/job/diagnose.yaml. maps: of the second layer, searched for a grid. runs: a sweep's folder, see `compare`."""

    images: int
    split: Literal["val", "train"]
    radius: float | None
    maps: int
    runs: str | None = None

    def __post_init__(self) -> None:
        if self.split not in ("val", "train"):
            raise UserError(f"diagnose.split={self.split} is unknown; possible: val, train")
        if type(self.images) is not int or self.images < 1:
            raise UserError(f"diagnose.images={self.images} must be a whole number from 1, e.g. diagnose.images=500")
        if type(self.maps) is not int or self.maps < 1:
            raise UserError(f"diagnose.maps={self.maps} must be a whole number from 1, e.g. diagnose.maps=64")
        if self.radius is not None and not self.radius > 0:
            raise UserError(f"diagnose.radius={self.radius} must be positive, e.g. 0.1, or null where nothing was held")
