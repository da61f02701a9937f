"""Crops of stored images become the net's input on the device that they are on: mirrored, centered and scaled there.

Images travel as bytes, a quarter of what floats take, with the places of their crops. All images that a net sees take
this way, in training, validation and jobs.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope.data.batches import Batch


class Centering:
    """mean: [R,R,3] float32, grey levels. scale: multiplier on grey levels minus mean, one or one per color."""

    def __init__(self, mean: np.ndarray, scale: float | tuple[float, ...] = 1.0):
        self._mean, self._scale = torch.from_numpy(mean), None if scale == 1 else torch.tensor(scale)
        self._by_device: dict[torch.device, tuple[Tensor, Tensor | None]] = {}

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the net's input [N,3,S,S] float32, channels last, on its device; one of floats as it is."""
        if batch.image.is_floating_point():
            return batch
        mean, scale = self._on(batch.image.device)
        centered = one_by_one if batch.image.device.type == "cpu" else all_at_once
        image = centered(batch.image.permute(0, 2, 3, 1), batch.cuts, mean)
        if batch.shift_bits is not None:
            image += batch.shift_bits.view(torch.float32)[:, None, None]
        if scale is not None:
            image *= scale
        return batch._replace(image=image.permute(0, 3, 1, 2), cuts=None, shift_bits=None)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Mean and scale on the device; sent once, because the host waits until they are there."""
        if device not in self._by_device:
            with torch.inference_mode(False):
                scale = None if self._scale is None else self._scale.to(device)
                self._by_device[device] = self._mean.to(device), scale
        return self._by_device[device]


class CenteredBatches:
    """The batches of a loader, sent to a device and centered there. Indices stay on the CPU."""

    def __init__(self, loader: Any, device: torch.device | str, centered: Callable[[Batch], Batch]):
        self.loader, self.device, self.centered = loader, device, centered

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            yield self.centered(on_device(batch, self.device))


def on_device(batch: Batch, device: torch.device | str) -> Batch:
    """The batch on the device but for the indices, which only the host reads. Returns before it has arrived."""
    is_cuda = torch.device(device).type == "cuda"  # others, such as mps, may read before all has arrived
    sent: list[Any] = [None if field is None else field.to(device, non_blocking=is_cuda) for field in batch]
    return Batch(*sent)._replace(index=batch.index)


def one_by_one(pixels: Tensor, cuts: Tensor | None, mean: Tensor) -> Tensor:
    """Crops minus mean [N,S,S,3] float32, on a CPU: each image while it is in the cache.

    pixels [N,S,S,3] uint8: crops, not yet mirrored. cuts: see Batch. mean [R,R,3]: cropped and mirrored like the image.
    """
    side, last = pixels.shape[1], len(mean) - pixels.shape[1]
    out, mirrored_mean = torch.empty(pixels.shape), mean.flip(1)
    places = [(last // 2, last // 2, 0)] * len(pixels) if cuts is None else cuts.tolist()
    for target, crop, (top, left, flip) in zip(out, pixels, places, strict=True):
        if flip:
            target.copy_(crop.flip(1)).sub_(mirrored_mean[top : top + side, last - left : len(mean) - left])
        else:
            target.copy_(crop).sub_(mean[top : top + side, left : left + side])
    return out


def all_at_once(pixels: Tensor, cuts: Tensor | None, mean: Tensor) -> Tensor:
    """The numbers of `one_by_one` in a few operations on the whole batch, none of which makes the host wait."""
    side = pixels.shape[1]
    if cuts is None:
        middle = (len(mean) - side) // 2
        return pixels - mean[middle : middle + side, middle : middle + side]
    place, image = torch.arange(side, device=pixels.device), torch.arange(len(pixels), device=pixels.device)
    top, left, flip = cuts.long()[:, :, None].unbind(1)  # [N,1] each
    columns = torch.where(flip > 0, side - 1 - place, place)  # [N,S], of the crop
    mirrored = pixels[image[:, None, None], place[:, None], columns[:, None]]
    return mirrored - mean[(top + place)[:, :, None], (left + columns)[:, None]]
