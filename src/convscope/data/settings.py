"""The settings of conf/data that turn images into batches."""

import os
from typing import Annotated, Literal

from pydantic import Field, model_validator

from convscope.config import Count, NewPathText, config
from convscope.data.transforms import stored_size
from convscope.errors import UserError
from convscope.models.memory import check_memory


@config("data", elsewhere={"seed": "seed", "batch_size": "optim.batch_size"})
class DataSettings:
    """conf/data without the keys of its source.

    image_size: side of the net's input. limit: images per split, evenly over the classes (None: all). workers: loading
    processes (None: none where images come from the cache and the net runs on the CPU, else one per core). cache_gib:
    GiB of decoded images in cache_dir, at most; further images are decoded in every epoch. color_noise: sigma of
    AlexNet's PCA noise. pixel_scale: multiplier on grey levels minus mean, one or one per color; 1 is the paper's.
    stored: side that images are stored at, whose center the net sees (None: 256/224 of image_size, as in the paper).
    """

    image_size: int
    batch_size: Count
    limit: Count | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    seed: int = 0
    cache_dir: NewPathText = "~/.cache/convscope"
    cache_gib: Annotated[float, Field(ge=0)] = 8.0
    on_bad_image: Literal["stop", "skip"] = "stop"
    color_noise: Annotated[float, Field(ge=0)] = 0.0
    pixel_scale: float | tuple[float, ...] = 1.0
    stored: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @model_validator(mode="after")
    def _fits_this_machine(self) -> "DataSettings":
        side = self.stored_size
        if side < self.image_size:
            raise UserError(
                f"data.stored={side} is smaller than data.image_size={self.image_size}, which is cut from it"
            )
        if self.workers is not None and self.workers > (maximum := 16 * (os.cpu_count() or 1)):
            raise UserError(
                f"data.workers={self.workers} are more processes than help here; at most {maximum}, or null"
            )
        scales = self.pixel_scale if isinstance(self.pixel_scale, tuple) else (self.pixel_scale,)
        if len(scales) not in (1, 3) or not 0 < min(scales) <= max(scales) < 1e6:
            raise UserError(
                f"data.pixel_scale={self.pixel_scale} is no scale; 1 keeps grey levels, 0.004 gives -0.5..0.5"
            )
        check_memory(
            4 * self.batch_size * 3 * side**2,
            f"a batch of {self.batch_size:,} images of {side:,} x {side:,} pixels",
            "a smaller data.image_size or optim.batch_size helps",
        )
        return self

    @property
    def stored_size(self) -> int:
        """Side of the stored images, from which the net's are cut."""
        return stored_size(self.image_size) if self.stored is None else self.stored
