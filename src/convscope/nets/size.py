"""How many numbers a net of rows has, known before it is built."""

from collections.abc import Mapping

from convscope.nets.layers import Conv, Full, Row, map_sizes
from convscope.room import check_memory

FLOAT = 4  # bytes


def weight_counts(rows: Mapping[str, Row], image_size: int) -> dict[str, int]:
    """Weights and biases of each row that has any. Raises Problem as map_sizes does."""
    counts, (maps, side) = {}, (3, image_size)
    for (name, row), above in zip(rows.items(), map_sizes(rows, image_size).values(), strict=True):
        if isinstance(row, Conv):
            counts[name] = row.maps * (maps // row.towers * row.kernel**2 + 1)
        if isinstance(row, Full):
            counts[name] = row.units * (maps * side**2 + 1)
        maps, side = above
    return counts


def unit_counts(rows: Mapping[str, Row], image_size: int) -> dict[str, int]:
    """Numbers that each row puts out for one image."""
    return {name: maps * side**2 for name, (maps, side) in map_sizes(rows, image_size).items()}


def check_room(rows: Mapping[str, Row], image_size: int, batch: int = 1, copies: int = 1) -> None:
    """Raises Problem where the weights, and what the rows put out for a batch of images, do not fit into memory.

    copies: of every number; training holds the gradients too, and of each weight what the optimizer remembers.
    """
    weights, units = weight_counts(rows, image_size), unit_counts(rows, image_size)
    needed = FLOAT * copies * (sum(weights.values()) + batch * sum(units.values()))
    largest = max(rows, key=lambda name: weights.get(name, 0) + batch * units[name])
    has = f"{weights.get(largest, 0):,} weights and puts out {units[largest]:,} numbers for an image"
    remedy = f"its largest row, {largest}, has {has}; a smaller model.width, data.image_size or optim.batch_size helps"
    check_memory(needed, f"this net with {batch} image{'s' * (batch > 1)} at a time", remedy)
