"""Where the labels at the ends of lines go."""

from collections.abc import Sequence

import numpy as np


def apart(heights: Sequence[float], least: float) -> list[float]:
    """The heights moved as little as needed (least squares) to lie `least` apart, in their order, then into 0..1.

    Where there are more labels than room, they leave 0..1 at the top.
    """
    order = np.argsort(heights, kind="stable")
    steps = np.arange(len(order)) * least
    blocks: list[list[float]] = []  # isotonic regression: labels that would touch are pooled and share their mean
    for height in np.asarray(heights, dtype=float)[order] - steps:
        block = [float(height)]
        while blocks and np.mean(blocks[-1]) > np.mean(block):
            block = blocks.pop() + block
        blocks.append(block)
    pooled = np.array([np.mean(block) for block in blocks for _ in block])
    moved = np.empty(len(order))
    moved[order] = np.clip(pooled, 0, max(0.0, 1 - least * (len(order) - 1))) + steps
    return moved.tolist()
