"""Matching of maps and CKA, against brute force by numpy and nets whose answers are known."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn

from convscope.analyses.matching.compute import image_batches, measure_epoch
from convscope.analyses.matching.compute.cka import CkaSums
from convscope.analyses.matching.compute.correlation import MapSums, match_maps, on_one_grid
from convscope.data.epoch_images import EpochImages


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def matched(first, second, shuffles=5, batch=20):
    sums = MapSums(shuffles)
    for ours, theirs in zip(first.split(batch), second.split(batch), strict=True):
        sums.add(ours, theirs)
    return sums.correlations()


def plain_correlations(first, second):
    """[C, D] by numpy, over all positions of all images."""
    ours, theirs = (maps.double().movedim(1, 0).flatten(1).numpy() for maps in (first, second))
    return np.corrcoef(ours, theirs)[: len(ours), len(ours) :]


def test_correlations_and_those_of_shuffled_images_are_numpys():
    first, second = noise(12, 3, 4, 5) * torch.tensor([1.0, 30, 0.01]).view(3, 1, 1) + 7, noise(12, 4, 4, 5, seed=1)
    second[:, 0] += first[:, 2] * 50
    found = matched(first, second, shuffles=2, batch=6)
    np.testing.assert_allclose(found.values, plain_correlations(first, second), atol=1e-5)
    for shuffle in (1, 2):  # within each batch of six the images of the second move on
        order = [6 * (image // 6) + (image - shuffle) % 6 for image in range(12)]
        expected = plain_correlations(first, second[order])
        np.testing.assert_allclose(found.shuffled[shuffle - 1], expected, atol=1e-5)


def test_the_matching_is_the_best_of_all():
    first, second = noise(8, 4, 3, 3), noise(8, 4, 3, 3, seed=1)
    values = plain_correlations(first, second)
    best = max(permutations(range(4)), key=lambda order: sum(values[row, col] for row, col in enumerate(order)))
    found = match_maps(matched(first, second))
    assert dict(zip(found.first.tolist(), found.second.tolist(), strict=True)) == dict(enumerate(best))
    assert list(found.correlation) == sorted(found.correlation, reverse=True)


def test_a_copy_with_permuted_maps_matches_in_all_of_them():
    maps, order = noise(40, 12, 5, 5).relu(), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    found = match_maps(matched(maps, 3 * maps[:, order] + 1))  # other scale and offset
    assert found.share.value == 1 and found.mean.value == pytest.approx(1, abs=1e-5)
    assert (order[found.second].numpy() == found.first).all()


def test_independent_noise_recurs_as_often_as_shuffled_images_do():
    recurring = total = 0
    for seed in range(10):
        found = match_maps(matched(noise(20, 24, 3, 3, seed=seed), noise(20, 24, 3, 3, seed=100 + seed), shuffles=10))
        recurring, total = recurring + int(found.recurs.sum()), total + len(found.first)
    assert binom(total, 0.05).cdf(recurring) < 0.999  # as the null has it
    assert recurring > 0 and total == 240


def test_what_a_place_alone_explains_does_not_recur():
    """Both nets answer to the middle of every image, whatever it shows, and share nothing else."""
    bump = torch.exp(-(torch.linspace(-2, 2, 9)[:, None] ** 2 + torch.linspace(-2, 2, 9) ** 2))
    first, second = (3 * bump + 0.3 * noise(60, 16, 9, 9, seed=seed) for seed in (0, 1))
    found = match_maps(matched(first, second, shuffles=10))
    assert found.mean.value > 0.8  # the correlations alone look like the same features
    assert found.share.value < 0.3 and found.threshold > 0.8


def test_dead_maps_are_left_out_and_counted():
    first, second = noise(10, 5, 4, 4), noise(10, 3, 4, 4, seed=1)
    first[:, 1], first[:, 3], second[:, 2] = 0, 2.5, -1
    found = match_maps(matched(first, second))
    assert (found.maps, found.dead) == ((5, 3), (2, 1))
    assert len(found.first) == 2 and not {1, 3} & set(found.first) and set(found.second) == {0, 1}
    nothing = match_maps(matched(torch.zeros(10, 2, 4, 4), second))
    assert len(nothing.first) == 0 and np.isnan(nothing.share.value) and np.isnan(nothing.threshold)


def test_maps_of_other_size_are_means_over_areas():
    fine = noise(8, 3, 8, 8)
    coarse, same = on_one_grid(fine, noise(8, 5, 4, 4))
    assert same.shape[2:] == (4, 4)
    torch.testing.assert_close(coarse, fine.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)))
    assert match_maps(matched(fine, coarse)).share.value == 1


def cka_of(first, second, shuffles=0, batch=20):
    sums = CkaSums(shuffles)
    for ours, theirs in zip(first.split(batch), second.split(batch), strict=True):
        sums.add([ours], [theirs])
    return sums.cka()


def hsic(first, second):
    """Song et al. 2012, equation 5, written out: the mean over all four different images."""
    one, other = first @ first.T, second @ second.T
    count, total, terms = len(one), 0.0, 0
    for i, j, q, r in permutations(range(count), 4):
        total += one[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
        terms += 1
    return total / terms


def test_cka_is_the_formula_by_hand():
    first, second = noise(6, 4).double().numpy(), noise(6, 3, seed=1).double().numpy()
    expected = hsic(first, second) / np.sqrt(hsic(first, first) * hsic(second, second))
    found = cka_of(torch.tensor(first), torch.tensor(second)).values
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_cka_of_a_rotation_is_1_and_of_noise_its_null():
    features = noise(60, 8, 3, 3)
    rotation = torch.linalg.qr(noise(72, 72, seed=1)).Q
    rotated = 5 * (features.flatten(1) @ rotation) + 2
    found = cka_of(features, rotated, shuffles=3)
    assert found.values.item() == pytest.approx(1, abs=1e-5) and found.shuffled.max() < 0.5
    assert found.interval(0, 0).low == pytest.approx(1, abs=1e-4)
    others = [cka_of(features, noise(60, 500, seed=seed)).values.item() for seed in range(2, 12)]
    assert abs(np.mean(others)) < 3 * np.std(others) / np.sqrt(10)  # unbiased: many units are not alike by chance
    assert np.isnan(cka_of(features, torch.ones(60, 4)).values.item())


def test_no_batch_is_too_small():
    for count in (4, 5, 19, 20, 21, 41, 63):
        sizes = [len(batch) for batch in image_batches(torch.arange(count))]
        assert sum(sizes) == count and min(sizes) >= 4 and max(sizes) <= 20


@pytest.fixture
def epochs():
    """A net, its successor with other maps in their place, and images."""
    torch.manual_seed(0)
    before = nn.Sequential(nn.Conv2d(3, 10, 5, 2), nn.ReLU(), nn.Conv2d(10, 6, 3), nn.ReLU(), nn.Flatten()).eval()
    torch.manual_seed(1)
    after = nn.Sequential(nn.Conv2d(3, 10, 5, 2), nn.ReLU(), nn.Conv2d(10, 6, 3), nn.ReLU(), nn.Flatten()).eval()
    images = noise(16, 3, 24, 24)
    return before, after, EpochImages(images, images.byte(), torch.zeros(16), torch.arange(16))


def test_an_epoch_is_measured_against_the_one_before(epochs):
    before, after, images = epochs
    nothing, memory = measure_epoch(before, images, ["1", "3"], {})
    assert nothing == {}
    same, again = measure_epoch(before, images, ["1", "3"], memory)
    assert same == pytest.approx({"recur/1": 1, "cka/1": 1, "recur/3": 1, "cka/3": 1})
    order = torch.randperm(10)
    before[0].weight.data, before[0].bias.data = before[0].weight.data[order], before[0].bias.data[order]
    moved, _ = measure_epoch(before, images, ["1"], again)
    assert moved == pytest.approx({"recur/1": 1, "cka/1": 1}, abs=1e-3)
    other, _ = measure_epoch(after, images, ["1", "3"], memory)
    assert other["recur/3"] < 1 and other["cka/3"] < 0.9 and other["cka/1"] < 0.99


def test_maps_of_a_wide_layer_find_their_partners_among_all_of_them(epochs):
    """Of 1,500 maps each third gets a partner: in another order all do, and new maps at these places have none."""
    wide = nn.Sequential(nn.Conv2d(3, 1500, 1), nn.ReLU())
    _, memory = measure_epoch(wide, epochs[2], ["0"], {})
    first = memory["0"]
    order = torch.randperm(1500, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wide[0].weight.copy_(wide[0].weight[order]), wide[0].bias.copy_(wide[0].bias[order])
    moved, _ = measure_epoch(wide, epochs[2], ["0"], {"0": first})
    assert moved == pytest.approx({"recur/0": 1, "cka/0": 1}, abs=1e-3)
    other = first.clone()
    other[:, ::3] = torch.randn(other[:, ::3].shape, generator=torch.Generator().manual_seed(2)).half()
    partly, _ = measure_epoch(wide, epochs[2], ["0"], {"0": other})
    assert partly["recur/0"] < 0.3


def test_what_is_remembered_is_small_and_gives_the_same_numbers_from_a_file(epochs, tmp_path):
    before, after, images = epochs
    wide = nn.Sequential(nn.Conv2d(3, 2048, 1), nn.ReLU())
    with torch.no_grad():
        wide[0].weight.mul_(1e9)  # more than float16 holds
    _, memory = measure_epoch(wide, images, ["0", "1"], {})
    assert sum(value.nbytes for value in memory.values()) <= 2 << 20
    assert all(value.isfinite().all() for value in memory.values())
    _, memory = measure_epoch(before, images, ["1", "3"], {})
    torch.save(memory, tmp_path / "memory")
    read = torch.load(tmp_path / "memory", weights_only=True)
    assert measure_epoch(after, images, ["1", "3"], read)[0] == measure_epoch(after, images, ["1", "3"], memory)[0]
