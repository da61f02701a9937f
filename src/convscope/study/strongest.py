"""The images that excite maps most, by one pass over images of a split (section 4, Fig. 2)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from convscope.data.module import Batch, ImageData, SplitName
from convscope.look.top9 import Search, Top9
from convscope.progress import track

BATCH = 64


def strongest(
    net: nn.Module, data: ImageData, split: SplitName, layers: Sequence[str], index: Tensor | None = None
) -> dict[str, Top9]:
    """Layer -> the nine strongest of these images (None: of all) for every map. Raises Problem for an unknown layer."""
    device, words = next(net.parameters()).device, f"looking for what excites {', '.join(layers)}"
    with Search(net.eval(), layers) as search, torch.inference_mode():
        for batch in _batches(data, split, index, words):
            search.watch(batch.index)
            net(batch.image.to(device))
    return search.top


def _batches(data: ImageData, split: SplitName, index: Tensor | None, words: str) -> Iterable[Batch]:
    if index is None:
        yield from track(data.shown_dataloader(split), words)
        return
    for part in track(index.split(BATCH), words):
        yield Batch(data.images(split, part), data.labels(split, part), part)
