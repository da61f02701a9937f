"""The sizes of maps, and the counts of weights and outputs, that follow from the rows of a net."""

from collections.abc import Mapping

from convscope.errors import UserError
from convscope.models.rows import AvgPoolRow, ConvRow, GlobalAvgPoolRow, LinearRow, LRNRow, PoolRow, Row


def map_sizes(rows: Mapping[str, Row], image_size: int) -> dict[str, tuple[int, int]]:
    """(maps, side) of every row's output for a square color image; a linear row has its units and side 1.

    Raises UserError where a window does not fit, with the row, both sizes and the smallest image that is large enough.
    """
    maps, side, below = 3, image_size, "image"
    sizes: dict[str, tuple[int, int]] = {}
    for name, row in rows.items():
        left, side = side, _side(row, side)
        if isinstance(row, ConvRow | PoolRow | AvgPoolRow) and not side:
            raise UserError(
                f"{name}: a window of {row.kernel} is larger than the {left} x {left} {below}; "
                f"this net needs data.image_size={_enough(rows, image_size)} or more"
            )
        if isinstance(row, ConvRow) and (maps % row.groups or row.maps % row.groups):
            raise UserError(f"{name}: {row.groups} towers cannot share {maps} maps below and {row.maps} of its own")
        if isinstance(row, LRNRow) and row.size > 2 * maps + 1:
            raise UserError(
                f"{name}: size {row.size} reaches beyond the {maps} maps below; {2 * maps + 1} covers them all"
            )
        maps = row.maps if isinstance(row, ConvRow) else row.units if isinstance(row, LinearRow) else maps
        sizes[name] = maps, side
        below = f"map that {name} leaves"
    return sizes


def _side(row: Row, side: int) -> int:
    """Side of the map above a map of `side`; 0 where the window does not fit."""
    if not isinstance(row, ConvRow | PoolRow | AvgPoolRow):
        return 1 if isinstance(row, LinearRow | GlobalAvgPoolRow) else side
    travel = side + 2 * row.padding - row.kernel  # positions that the window can move
    if travel < 0 or not isinstance(row, PoolRow) or not row.ceil:
        return max(0, travel // row.stride + 1)
    windows = -(-travel // row.stride) + 1
    last_is_outside = (windows - 1) * row.stride >= side + row.padding
    return windows - 1 if last_is_outside else windows


def _enough(rows: Mapping[str, Row], image_size: int) -> int:
    """The smallest image, larger than image_size, on which every window fits."""

    def fits(side: int) -> bool:
        return all(side := _side(row, side) for row in rows.values())

    large = image_size + 1
    while not fits(large):  # doubling: a window of a million takes twenty steps, not a million
        image_size, large = large, 2 * large
    while large - image_size > 1:
        middle = (image_size + large) // 2
        image_size, large = (image_size, middle) if fits(middle) else (middle, large)
    return large


def weight_counts(rows: Mapping[str, Row], image_size: int) -> dict[str, int]:
    """Number of weights and biases of each row that has any; of a batch norm its gains and biases.

    Raises UserError as map_sizes does.
    """
    counts, (maps, side) = {}, (3, image_size)
    for (name, row), above in zip(rows.items(), map_sizes(rows, image_size).values(), strict=True):
        if isinstance(row, ConvRow):
            counts[name] = row.maps * (maps // row.groups * row.kernel**2 + (2 if row.batch_norm else 1))
        if isinstance(row, LinearRow):
            counts[name] = row.units * (maps * side**2 + 1)
        maps, side = above
    return counts


def unit_counts(rows: Mapping[str, Row], image_size: int) -> dict[str, int]:
    """Numbers in each row's output for one image. Raises UserError as map_sizes does."""
    return {name: maps * side**2 for name, (maps, side) in map_sizes(rows, image_size).items()}


def statistic_counts(rows: Mapping[str, Row]) -> dict[str, int]:
    """Numbers of each batch norm in a checkpoint that are no weights: means, variances and one count of batches."""
    return {name: 2 * row.maps + 1 for name, row in rows.items() if isinstance(row, ConvRow) and row.batch_norm}
