"""Two collections compared in blocks, mirror images, and copies made to see whether they are found."""

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.analyses.overlap import compute
from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.overlap.compute import altered_copies, compare_collections
from convscope.analyses.overlap.compute.collection import Collection
from convscope.data.decode import fitted
from convscope.data.sources import Pixels
from convscope.errors import UserError


def collection(count, seed, size=12):
    coarse = np.random.default_rng(seed).integers(0, 256, (count, size // 2, size // 2, 3), dtype=np.uint8)
    images = coarse.repeat(2, 1).repeat(2, 2)
    return Collection(f"set {seed}", Pixels(images, np.zeros(count, np.int64)), ["all"], images, 0)


def test_every_block_of_one_meets_every_block_of_the_other(monkeypatch):
    first, second = collection(23, 0), collection(31, 1)
    second.reduced[[2, 30]] = first.reduced[[22, 4]]
    whole = compare_collections(first, second, OverlapConfig(size=12, threshold=0.5))
    monkeypatch.setattr(compute, "BLOCK", 5 * 144)  # five images
    parts = compare_collections(first, second, OverlapConfig(size=12, threshold=0.5))
    assert all(torch.equal(a, b) for a, b in zip(whole.matches, parts.matches, strict=True))
    assert whole.matches.at[22] == 2 and whole.matches.at[4] == 30 and whole.matches.correlation[:2].tolist() == [1, 1]


def test_mirror_images_are_found_where_asked_for(monkeypatch):
    monkeypatch.setattr(compute, "BLOCK", 4 * 144)
    first, second = collection(9, 0), collection(7, 1)
    second.reduced[5] = first.reduced[3, :, ::-1]
    assert not len(compare_collections(first, second, OverlapConfig(size=12)).matches.first)
    matches = compare_collections(first, second, OverlapConfig(size=12, mirrored=True)).matches
    assert (matches.first.tolist(), matches.second.tolist(), matches.correlation.tolist()) == ([3], [5 + 7], [1.0])


def test_colors_are_compared_where_asked_for():
    first, second = collection(9, 0), collection(7, 1)
    second.reduced[5] = first.reduced[3][..., ::-1]  # red and blue change places
    matches = compare_collections(first, second, OverlapConfig(size=12, channels="color", threshold=0.9))
    assert not len(matches.matches.first) and len(matches.matches.best) == 9


@pytest.mark.parametrize("mirrored", [False, True])
def test_images_of_one_color_are_counted(mirrored):
    first, second = collection(9, 0), collection(7, 1)
    first.reduced[[1, 2]], second.reduced[6] = 90, 255
    assert compare_collections(first, second, OverlapConfig(size=12, mirrored=mirrored)).one_color == (2, 1)


def test_copies_are_alike_and_less_so_the_more_is_cut_away():
    coarse = np.random.default_rng(0).integers(0, 256, (20, 6, 9, 3), np.uint8)
    large = [Image.fromarray(pixels_of_one).resize((120, 80), Image.Resampling.BICUBIC) for pixels_of_one in coarse]
    pixels = np.stack([np.asarray(image) for image in large])
    reduced = np.stack([fitted(pixels_of_one, 32) for pixels_of_one in pixels])
    images = Collection("set", Pixels(pixels, np.zeros(20, np.int64)), ["all"], reduced, 0)
    by_kind = {
        saved.kind: saved.correlation
        for saved in altered_copies(images, torch.arange(20), OverlapConfig(copies=8), seed=0)
    }
    saved, two, *cropped = by_kind.values()
    assert len(saved) == 8 and saved.min() > 0.99 and two.min() > 0.99
    assert two.median() > cropped[0].median() > cropped[1].median() and "mirrored" not in by_kind
    by_kind = {
        saved.kind: saved.correlation
        for saved in altered_copies(images, torch.arange(20), OverlapConfig(mirrored=True), seed=0)
    }
    assert len(by_kind["mirrored"]) == 20 and by_kind["mirrored"].min() > 0.99


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"size": 3}, "overlap.size=3 is too small; it is 4 to 256, e.g. overlap.size=32"),
        ({"size": 8.5}, "overlap.size=8.5 is not a whole number"),
        ({"size": 257}, "overlap.size=257 is too large; it is 4 to 256"),
        ({"channels": "grey"}, "overlap.channels=grey is unknown .did you mean gray..; possible: gray, color"),
        ({"threshold": 0}, "overlap.threshold=0 is too small; it is above 0"),
        ({"threshold": 1.01}, "overlap.threshold=1.01 is too large; it is above 0, at most 1"),
        ({"shown": 0}, "overlap.shown=0 is too small; it is 1 or more"),
        ({"copies": 0}, "overlap.copies=0 is too small"),
    ],
)
def test_plans_that_make_no_sense(plan, message):
    with pytest.raises(UserError, match=message):
        OverlapConfig(**plan)
