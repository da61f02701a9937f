"""The search for copies: pairs of images per second, memory, and the time for all of ImageNet.

Images of 32 x 32 in gray, drawn. Against the plain product of the same matrices, which no search by correlation can
undercut, and against np.corrcoef. python benchmarks/overlap.py
"""

from interleaved import line, paired, peak_mib, ratio  # first: sets the number of threads

import numpy as np  # isort: skip
import torch

from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.overlap.compute import Comparison, compare_collections
from convscope.analyses.overlap.compute.collection import Collection
from convscope.data.sources import Pixels

SIZE, FIRST, SECOND = 32, 4096, 8192
CALTECH, IMAGENET = 9_144, 1_281_167


def drawn(count: int, seed: int) -> Collection:
    """Clouds of three sizes, as most of the variance of photographs is coarse too."""
    draw, images = np.random.default_rng(seed), np.zeros((count, SIZE, SIZE), np.float32)
    for side, strength in ((2, 60), (4, 40), (16, 12)):
        grain = draw.normal(0, strength, (count, side, side)).astype(np.float32)
        images += grain.repeat(SIZE // side, 1).repeat(SIZE // side, 2)
    pixels = (128 + images).clip(0, 255).astype(np.uint8)[..., None].repeat(3, 3)
    return Collection(f"set {seed}", Pixels(pixels, np.zeros(count, np.int64)), ["all"], pixels, 0)


def main() -> None:
    first, second = drawn(FIRST, 0), drawn(SECOND, 1)
    units = [torch.randn(FIRST, SIZE**2), torch.randn(SECOND, SIZE**2)]
    flat = [side.reduced[:1024, ..., 0].reshape(-1, SIZE**2) for side in (first, second)]
    known: list[Comparison] = []

    def ours() -> None:
        known[:] = [compare_collections(first, second, OverlapConfig())]

    sides = {
        "ours": ours,
        "product": lambda: [units[0] @ part.T for part in units[1].split(4096)],
        "numpy": lambda: np.corrcoef(*flat)[:1024, 1024:].max(1),  # a 32nd of the pairs
    }
    times = paired(sides, rounds=5)
    line("overlap, time against the matrix product alone", ratio(times, "ours", "product"), 2.1)
    line("overlap against np.corrcoef (1024 x 1024, scaled)", ratio(times, "numpy", "ours") * 32, 2.0)
    rate = FIRST * SECOND / float(np.median(times["ours"]))
    hours = CALTECH * IMAGENET / rate / 3600
    print(f"overlap: {rate / 1e6:.1f} million pairs per second of one core; "
          f"{CALTECH:,} x {IMAGENET:,} would take {hours:.2f} core hours, decoding not counted")  # fmt: skip
    print(f"overlap: extra memory {peak_mib(ours):.0f} MiB, which does not grow with the sets")


if __name__ == "__main__":
    main()
