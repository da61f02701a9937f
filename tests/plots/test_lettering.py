import pytest
from PIL import Image, ImageDraw

from convscope.plots.lettering import font, shortened, width, wrapped, write


def test_text_that_fits_is_unchanged():
    assert shortened("conv3 · map 7", 14, 500) == "conv3 · map 7"


@pytest.mark.parametrize("room", [200, 60, 20, 16])
def test_long_text_ends_in_an_ellipsis_and_fits(room):
    text = shortened("a caption that is much longer than the room it has", 14, room)
    assert text.endswith("…") and width(text, 14) <= room


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
