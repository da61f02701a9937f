"""Text cut to a width, and labels moved apart."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from convscope.plots.lettering import font, moved_apart, percent, short_name, shortened, width, wrapped, write


def test_text_that_fits_is_unchanged():
    assert shortened("conv3 · map 7", 14, 500) == "conv3 · map 7"


@pytest.mark.parametrize("room", [200, 60, 20, 16])
def test_long_text_ends_in_an_ellipsis_and_fits(room):
    text = shortened("a caption that is much longer than the room it has", 14, room)
    assert text.endswith("…") and width(text, 14) <= room


@pytest.mark.parametrize("letters", [1, 2, 9, 10, 11])
def test_a_name_is_cut_at_its_end_or_at_its_beginning(letters):
    name = "features.1"
    first, last = short_name(name, letters), short_name(name, letters, from_end=True)
    assert len(first) == len(last) == min(letters, len(name))
    if letters < len(name):
        assert first[-1] == last[0] == "…" and name.startswith(first[:-1]) and name.endswith(last[1:])
    else:
        assert first == last == name


def test_only_none_and_all_are_0_and_100_percent():
    assert [percent(share) for share in (0, 1e-9, 0.0099, 0.01, 0.994, 0.995, 1)] == [
        "0 %", "< 1 %", "< 1 %", "1 %", "99 %", "> 99 %", "100 %",
    ]  # fmt: skip


def test_no_room_no_text():
    assert shortened("caption", 14, 3) == ""


@pytest.mark.parametrize("room", [500, 200, 60, 10])
def test_wrapped_text_keeps_every_word_and_fits_where_its_words_do(room):
    text = "left: projections by deconvnet (a plain chain with max pooling; dependence on the image 0.56)"
    lines = wrapped(text, 14, room)
    assert " ".join(lines) == text
    assert all(width(line, 14) <= room or " " not in line for line in lines)


def test_a_caption_is_one_line():
    assert shortened("two\nlines", 14, 500) == "two lines"


@pytest.mark.parametrize("letter", "é×–·…ßжλ")
def test_the_font_knows_letters_beyond_ascii(letter):
    missing = font(20).getmask("\U0010fffd")
    assert bytes(font(20).getmask(letter)) != bytes(missing)


def test_ink_stays_inside_its_room():
    image = Image.new("L", (200, 40))
    write(ImageDraw.Draw(image), (0, 30), "wwwwwwwwwwwwwwwwwwwwwwwwwwwwww", room=90, color=255)
    assert image.getbbox()[2] <= 91


def test_labels_with_room_stay_where_they_are():
    assert moved_apart([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])


def test_two_at_one_height_part_evenly():
    assert moved_apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


def test_at_the_edge_they_move_inside():
    assert moved_apart([0.0, 0.0, 0.0], 0.1) == pytest.approx([0.0, 0.1, 0.2])
    assert moved_apart([1.0, 0.99], 0.1) == pytest.approx([1.0, 0.9])


def test_no_labels():
    assert moved_apart([], 0.1) == []


@pytest.mark.parametrize("seed", range(5))
def test_never_closer_than_asked_and_never_out_of_order(seed):
    heights = np.random.default_rng(seed).uniform(size=12)
    moved = np.array(moved_apart(heights.tolist(), 0.08))
    assert (np.diff(np.sort(moved)) >= 0.08 - 1e-12).all()
    assert (np.argsort(moved) == np.argsort(heights)).all()
    assert moved.min() >= 0 and moved.max() <= 1


def test_least_squares_by_trying_a_lattice():
    heights = [0.40, 0.44, 0.52]
    lattice = np.arange(0, 1.0001, 0.02)
    allowed = [p for p in itertools.combinations(lattice, 3) if p[1] - p[0] >= 0.0999 and p[2] - p[1] >= 0.0999]
    best = min(np.square(np.array(p) - heights).sum() for p in allowed)
    assert np.square(np.array(moved_apart(heights, 0.1)) - heights).sum() <= best + 1e-9
