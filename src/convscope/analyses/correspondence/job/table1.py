"""Settings of job=correspond."""

from dataclasses import dataclass
from typing import Any, Literal

from convscope.errors import UserError


@dataclass(frozen=True)
class Correspond:
    """conf/job/correspond.yaml: which images, parts and layers, and what covers them."""

    images: int | list[int] | None = 5
    split: Literal["train", "val"] = "val"
    parts: str | None = None
    only: dict[str, Any] | None = None
    layers: list[str] | None = None
    mask: int | None = None
    value: float = 0.0
    random: int = 20

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise UserError(f"correspond.split={self.split} is unknown; possible: train, val")
        count = len(set(self.images)) if isinstance(self.images, list) else self.images
        if count is not None and count < 2:
            raise UserError(f"correspond.images={self.images}: two or more are needed, because it is two that agree")
        if isinstance(self.images, list) and count != len(self.images):
            raise UserError(
                f"correspond.images={self.images} names an image twice, which agrees with itself; name each once"
            )
        if self.random < 1:
            raise UserError(f"correspond.random={self.random} leaves nothing to compare with; 1 or more, e.g. 20")
        if self.layers is not None and not self.layers:
            raise UserError("correspond.layers=[] names no layer; leave it out for every layer")

    def side(self, image_size: int) -> int:
        """Pixels of the square that covers."""
        return round(image_size / 7) if self.mask is None else self.mask
