"""The numbers of feature evolution, on records whose answers are known."""

import torch

from convscope.engine.top9 import Top9
from convscope.training.change import EpochProjections, change_since


def record(images, strongest=1.0):
    """One map whose nine images are given (-1: none)."""
    image = torch.tensor([images])
    score = torch.where(image >= 0, strongest, -torch.inf)
    return Top9(score, image, torch.zeros_like(image), torch.zeros_like(image))


def seen(top, projection):
    return EpochProjections(top, [0], projection.expand(1, 3, 4, 4))


def test_at_first_there_is_nothing_to_compare_with():
    top = record(range(9))
    assert change_since(seen(top, torch.ones(4, 4)), None) == (0.0, 0.0, 0.0)


def test_stayed_counts_images_whatever_their_rank():
    then, now = record(range(9)), record([8, 7, 6, 20, 21, 22, 23, 24, 25])
    same = torch.arange(16.0).reshape(4, 4)
    stayed, similarity, dead = change_since(seen(now, same), seen(then, 3 * same))
    assert abs(stayed - 3 / 9) < 1e-6 and abs(similarity - 1) < 1e-6 and dead == 0
    _, opposite, _ = change_since(seen(now, same), seen(then, -same))
    assert abs(opposite + 1) < 1e-6


def test_places_without_an_image_never_stay():
    few = record([4, 5, -1, -1, -1, -1, -1, -1, -1])
    assert change_since(seen(few, torch.ones(4, 4)), seen(few, torch.ones(4, 4))).stayed == 1.0


def test_a_map_that_no_image_excites_is_dead():
    top = record(range(9), strongest=0.0)
    assert change_since(seen(top, torch.zeros(4, 4)), None).dead == 1.0


def test_dead_maps_are_reported_beside_and_count_neither_as_settled_nor_as_changed():
    """Of four maps two are dead, with the same first images in every record and projections of zeros."""
    image = torch.arange(9).repeat(4, 1)
    nowhere = torch.zeros_like(image)
    score = torch.tensor([[1.0], [0.0], [1.0], [0.0]]).expand(4, 9)
    then = Top9(score, image, nowhere, nowhere)
    now = then._replace(image=torch.stack([image[0], image[1], image[2] + 6, image[3]]))  # map 2 keeps 6, 7 and 8
    before, after = torch.zeros(2, 4, 3, 4, 4)
    before[[0, 2]], after[0], after[2] = 1.0, 1.0, -1.0
    stayed, similarity, dead = change_since(
        EpochProjections(now, [0, 1, 2, 3], after), EpochProjections(then, [0, 1, 2, 3], before)
    )
    assert abs(stayed - (1 + 1 / 3) / 2) < 1e-6 and abs(similarity - 0) < 1e-6 and dead == 0.5
    alike = change_since(
        EpochProjections(then, [1, 0], before[:2].flip(0)), EpochProjections(then, [1, 0], before[:2].flip(0))
    )
    assert abs(alike.similarity - 1) < 1e-6  # the shown ones by their numbers


def test_nothing_is_measured_of_a_layer_without_a_living_map():
    top = record(range(9), strongest=0.0)
    assert change_since(seen(top, torch.zeros(4, 4)), seen(top, torch.zeros(4, 4))).measured == {"dead": 1.0}
