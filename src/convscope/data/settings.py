"""How images become batches, as conf/data says it."""

import os
from dataclasses import dataclass
from typing import Literal

from convscope.data.transforms import stored_size
from convscope.errors import UserError
from convscope.models.memory import check_memory


@dataclass(frozen=True)
class DataSettings:
    """conf/data without the source: how images become batches.

    image_size: side of the net's input. limit: images per split, evenly over the classes (None: all). workers: loading
    processes (None: none where images come from the cache and the net runs on the CPU, else one per core). cache_gib:
    most GiB of decoded images in cache_dir; what does not fit is decoded in every epoch. color_noise: sigma of
    AlexNet's PCA noise. pixel_scale: multiplier on grey levels minus mean, one or one per color; 1 is the paper's.
    stored: side that images are stored at, whose center the net sees (None: 256/224 of image_size, as in the paper).
    """

    image_size: int
    batch_size: int
    limit: int | None = None
    workers: int | None = None
    seed: int = 0
    cache_dir: str = "~/.cache/convscope"
    cache_gib: float = 8.0
    on_bad_image: Literal["stop", "skip"] = "stop"
    color_noise: float = 0.0
    pixel_scale: float | tuple[float, ...] = 1.0
    stored: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        side = self.stored_size
        if side < self.image_size:
            raise UserError(
                f"data.stored={side} is smaller than data.image_size={self.image_size}, which is cut from it"
            )
        if self.interpolation not in ("bilinear", "bicubic"):
            raise UserError(f"data.interpolation={self.interpolation} is unknown; possible: bilinear, bicubic")
        if self.on_bad_image not in ("stop", "skip"):
            raise UserError(f"data.on_bad_image={self.on_bad_image} is unknown; possible: stop, skip")
        for name, value, least in (
            ("optim.batch_size", self.batch_size, 1),
            ("data.limit", self.limit, 1),
            ("data.workers", self.workers, 0),
            ("data.cache_gib", self.cache_gib, 0),
            ("data.color_noise", self.color_noise, 0),
        ):
            if value is not None and value < least:
                raise UserError(f"{name}={value} is too small; it is {least} or more")
        if self.workers is not None and self.workers > (most := 16 * (os.cpu_count() or 1)):
            raise UserError(f"data.workers={self.workers} are more processes than help here; at most {most}, or null")
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

    @property
    def stored_size(self) -> int:
        """Side of the stored images, from which the net's are cut."""
        return stored_size(self.image_size) if self.stored is None else self.stored
