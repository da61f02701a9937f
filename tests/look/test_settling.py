import pytest
import torch

from convscope.look.settling import settled, stayed
from convscope.look.top9 import Top9


def record(*maps, score=1.0):
    """A record whose maps are excited by these images."""
    image = torch.tensor(maps)
    nowhere = torch.zeros_like(image)
    return Top9(torch.full(image.shape, score), image, nowhere, nowhere)


def nine(start):
    return list(range(start, start + 9))


def test_stayed_by_hand():
    before = record(nine(0), nine(0), nine(0))
    after = record(nine(0)[::-1], nine(100), nine(5))  # order does not matter; four of nine are 5, 6, 7, 8
    torch.testing.assert_close(stayed(before, after), torch.tensor([1.0, 0.0, 4 / 9]))


def test_images_that_do_not_excite_do_not_stay():
    before, after = record(nine(0)), record(nine(0))
    after.score[0, 3:] = 0  # three images left
    before.score[0, 1:] = 0  # of them one was there
    torch.testing.assert_close(stayed(before, after), torch.tensor([1 / 3]))
    nobody = Top9(torch.full((1, 9), -torch.inf), *[torch.full((1, 9), -1)] * 3)
    assert stayed(nobody, nobody).tolist() == [0.0]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([0, 0, 0, 0], 2),  # the first comparison is at the second shown epoch
        ([0, 50, 50, 50], 5),
        ([0, 4, 8, 8], 2),  # five of nine stay each time
        ([0, 5, 10, 10], 9),  # four stay: too few, until the last
        ([0, 0, 0, 50], 10),  # a new start at the end: the epoch after the last
        ([0, 50, 50, 90], 10),
        ([0, 50, 0, 0], 9),
    ],
)
def test_settled_from_the_epoch_that_holds_to_the_end(starts, expected):
    epochs = [1, 2, 5, 9]  # not every epoch was shown
    shown = {epoch: record(nine(start)) for epoch, start in zip(epochs, starts, strict=True)}
    assert settled(shown).tolist() == [expected]


def test_the_order_in_which_epochs_are_given_does_not_matter():
    assert settled({9: record(nine(50)), 1: record(nine(0)), 5: record(nine(50))}).tolist() == [9]


def test_maps_that_are_dead_at_the_end_are_left_out():
    shown = {1: record(nine(0), nine(0)), 2: record(nine(0), nine(0))}
    shown[2].score[0] = 0
    assert settled(shown).tolist() == [2]
