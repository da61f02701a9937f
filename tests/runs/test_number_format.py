import csv

import pytest

from convscope.runs.number_format import (
    brief,
    csv_table,
    duration,
    latex,
    markdown,
    number_as_in_caption,
    percent,
    split_caption,
    table_cell,
    table_column,
    three_digits,
)


@pytest.mark.parametrize(("seconds", "text"), [(38.4, "38 s"), (75.2, "1 min 15 s"), (3725, "1 h 2 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_numbers_as_words():
    assert percent(0.9534) == "95.3 %"
    assert [brief(value) for value in (None, 3, 0.123456, 1234.5, "x")] == ["", "3", "0.1235", "1,234", "x"]
    assert [three_digits(value) for value in (0.93456, -12.3456, 1234.5, 6.0)] == ["0.935", "-12.3", "1,234", "6"]


def test_a_caption_split_from_the_value_and_interval_it_ends_with():
    assert split_caption("fc7: parts minus random: 0.615 [0.31, 0.85]", 0.61541) == (
        "fc7: parts minus random",
        "0.31 to 0.85",
    )
    assert split_caption("eyes: 95.3 % [90.1, 99.2]", 0.9534) == ("eyes", "90.1 to 99.2")
    assert split_caption("share of conv1: 0.50 [0.40, 0.61], over 9 maps; by chance 0.5", 0.496) == (
        "share of conv1, over 9 maps; by chance 0.5",
        "0.40 to 0.61",
    )
    assert split_caption("no interval: 0.5", 0.5) == ("no interval", "")
    assert split_caption("change: -1234 [-2000, -9]", -1234.2) == ("change", "-2000 to -9")
    for words in ("eyes: 95.3 % [90.1, 99.2]", "another number: 0.51", "0.5 of them", ""):
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


ROWS = [{"run": "a_b|c", "error": 12.5, "spread": "1.0 ± 0.2"}, {"run": "50 %", "error": None, "spread": ""}]


def test_markdown():
    assert markdown(ROWS, "What it is.").splitlines() == [
        "What it is.",
        "",
        "| run | error | spread |",
        "| --- | ---: | ---: |",
        "| a_b\\|c | 12.5 | 1.0 ± 0.2 |",
        "| 50 % |  |  |",
    ]


def test_latex():
    text = latex(ROWS, "R & D")
    assert "\\caption{R \\& D}" in text and "\\begin{tabular}{lrr}" in text
    assert "a\\_b|c & 12.5 & 1.0 $\\pm$ 0.2 \\\\\n50 \\% &  &  \\\\\n\\bottomrule" in text


def test_csv_comes_back_as_it_went(tmp_path):
    (tmp_path / "x.csv").write_text(csv_table(ROWS))
    read = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert read == [{key: "" if value is None else str(value) for key, value in row.items()} for row in ROWS]


def test_no_rows():
    assert csv_table([]) == "\n" and markdown([], "x") == "x\n\n|  |\n|  |\n"


@pytest.mark.parametrize(
    "column, cells",
    [
        (["0.5", "0.123456", "", "-1"], ["0.500", "0.123", "", "-1.000"]),
        (["12.25", "3.5"], ["12.25", "3.50"]),
        (["1", "20"], ["1", "20"]),
        (["1234.5678", "1.25"], ["1,235", "1.25"]),  # one decimal less would be a fifth of 1.25
        (["0.00012346", "250.0"], ["0.0001235", "250"]),
        (["0.5", "conv1"], ["0.5", "conv1"]),
        (["nan", "0.25"], ["–", "0.25"]),
        (["True", "False"], ["yes", "no"]),
        ([], []),
    ],
)
def test_numbers_of_a_column_have_equally_many_decimals_where_that_takes_nothing(column, cells):
    assert table_column(column) == cells
