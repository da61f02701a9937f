import pytest

from convscope.runs.number_format import (
    brief,
    duration,
    number_as_in_caption,
    percent,
    split_caption,
    table_cell,
    three_digits,
)


@pytest.mark.parametrize(("seconds", "text"), [(38.4, "38 s"), (75.2, "1 min 15 s"), (3725, "1 h 2 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_numbers_as_words():
    assert percent(0.9534) == "95.3 %"
    assert [brief(value) for value in (None, 3, 0.123456, 1234.5, "x")] == ["", "3", "0.1235", "1,234", "x"]
    assert [three_digits(value) for value in (0.93456, -12.3456, 1234.5, 6.0)] == ["0.935", "-12.3", "1,234", "6"]


def test_a_caption_parted_from_the_value_and_interval_it_ends_with():
    assert split_caption("fc7: parts minus random: 0.615 [0.31, 0.85]", 0.61541) == (
        "fc7: parts minus random",
        "0.31 to 0.85",
    )
    assert split_caption("eyes: 95.3 % [90.1, 99.2]", 0.9534) == ("eyes", "90.1 to 99.2")
    for words in ("eyes: 95.3 % [90.1, 99.2]", "no interval: 0.5", ""):
        assert split_caption(words, 0.5) == (words, "")


def test_a_number_is_written_as_its_caption_writes_it():
    assert (
        number_as_in_caption("eyes: 95.3 % [90.1, 99.2]", 0.9534) == "95.3 %"
        and number_as_in_caption("95 cases", 0.9534) == "0.953"
    )


def test_cells_of_a_table():
    written = ["0.123456789", "-2.5e-07", "1234", "007", "2025-01-02", "nan", "-inf", "True", "conv1", ""]
    assert [table_cell(text) for text in written] == [
        "0.1235", "-2.5e-07", "1234", "007", "2025-01-02", "–", "–", "yes", "conv1", "",
    ]  # fmt: skip
