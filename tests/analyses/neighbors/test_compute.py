"""Against brute force in numpy, images in any order and any batches, and where a quicker formula goes wrong."""

import math

import numpy as np
import pytest
import torch

from convscope.analyses.neighbors import compute
from convscope.analyses.neighbors.compute import Nearest, add_neighbors, empty_neighbors, merge_neighbors


def brute_force(queries, features, k):
    """[Q, k] indices and distances: every pair in float64, sorted by distance and then by index."""
    pairs = queries.numpy().astype(np.float64)[:, None] - features.numpy().astype(np.float64)[None]
    distance = np.sqrt((pairs**2).sum(2))
    order = np.lexsort((np.broadcast_to(np.arange(len(features)), distance.shape), distance))[:, :k]
    return order, np.take_along_axis(distance, order, 1)


def cloud(count=300, units=17, spread=1.0, seed=0):
    return torch.randn(count, units, generator=torch.Generator().manual_seed(seed)) * spread


def in_batches(queries, features, k, batch, order=None):
    order = torch.arange(len(features)) if order is None else order
    nearest = empty_neighbors(len(queries), k)
    for part in order.split(batch):
        nearest = add_neighbors(nearest, queries, features[part], part)
    return nearest


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_any_batches_in_any_order_give_brute_force(batch):
    queries, features = cloud(9, seed=1), cloud()
    index, distance = brute_force(queries, features, 5)
    for order in (None, torch.randperm(300, generator=torch.Generator().manual_seed(batch))):
        nearest = in_batches(queries, features, 5, batch, order)
        assert np.array_equal(nearest.index.numpy(), index)
        assert np.allclose(nearest.distance.numpy(), distance, rtol=1e-13, atol=0)


def test_small_blocks_change_nothing(monkeypatch):
    queries, features = cloud(9, seed=1), cloud()
    whole = in_batches(queries, features, 5, 100)
    monkeypatch.setattr(compute, "BLOCK", 17 * 3)  # three images at a time
    parts = in_batches(queries, features, 5, 100)
    assert torch.equal(whole.index, parts.index) and torch.equal(whole.distance, parts.distance)


def test_far_from_the_origin_no_digit_is_lost():
    """The features differ by steps of 1/64 at 4096; there |a|^2 + |b|^2 - 2ab in float32 knows steps of 8 or so."""
    steps = torch.arange(1, 41.0)
    features = torch.full((40, 32), 4096.0)
    features[:, 0] += steps.flip(0) / 64
    query = torch.full((1, 32), 4096.0)
    nearest = in_batches(query, features, 4, 16)
    assert nearest.index.tolist() == [[39, 38, 37, 36]]
    assert nearest.distance.tolist() == [[1 / 64, 2 / 64, 3 / 64, 4 / 64]]
    quick = (query**2).sum(1) + (features**2).sum(1) - 2 * (features @ query[0])
    assert quick.argsort(stable=True)[:4].tolist() != [39, 38, 37, 36]


def test_whole_numbers_by_exact_arithmetic():
    draw = torch.Generator().manual_seed(2)
    features, query = (torch.randint(-9, 10, (count, 11), generator=draw) for count in (60, 1))
    squares = [sum((int(a) - int(b)) ** 2 for a, b in zip(query[0], row, strict=True)) for row in features]
    order = sorted(range(60), key=lambda number: (squares[number], number))[:8]
    nearest = in_batches(query.float(), features.float(), 8, 13)
    assert nearest.index[0].tolist() == order
    assert nearest.distance[0].tolist() == [math.sqrt(squares[number]) for number in order]


def test_equal_distances_are_ordered_by_index():
    query = cloud(1)
    features = query.repeat(50, 1)
    features[20] += 1
    for order in (torch.arange(50), torch.arange(50).flip(0)):
        nearest = in_batches(query, features, 6, 4, order)
        assert nearest.index.tolist() == [[0, 1, 2, 3, 4, 5]] and nearest.distance.tolist() == [[0.0] * 6]


def test_records_of_parts_merge():
    queries, features = cloud(4, seed=1), cloud()
    parts = [in_batches(queries, features, 5, 50, part) for part in torch.arange(300).split(90)]
    whole = in_batches(queries, features, 5, 300)
    for order in (parts, parts[::-1]):
        merged = empty_neighbors(4, 5)
        for part in order:
            merged = merge_neighbors(merged, part)
        assert torch.equal(merged.index, whole.index) and torch.equal(merged.distance, whole.distance)


def test_fewer_images_than_places():
    nearest = in_batches(cloud(2, seed=1), cloud(3), 5, 2)
    assert (nearest.index[:, 3:] == -1).all() and nearest.distance[:, 3:].isinf().all()
    assert nearest.index[:, :3].sort().values.tolist() == [[0, 1, 2]] * 2 and nearest.distance[:, :3].isfinite().all()
    nothing = empty_neighbors(2, 4)
    assert torch.equal(merge_neighbors(nothing, nothing).index, nothing.index) and isinstance(nothing, Nearest)
