from pathlib import Path

import pytest

from convscope.cli.terminal import MAX_NUMBERS, MAX_ROWS, cell_text, show_numbers, show_result
from convscope.runs.record import Conclusion, Number, Table


def shown(capsys, result):
    show_result(result, Path("run"))
    return capsys.readouterr().out


def test_a_table_is_printed_with_its_caption_and_every_row(capsys):
    rows = [{"layer": "conv1", "share": 0.123456}, {"layer": "conv2", "share": None}]
    printed = shown(capsys, Table("x/y", rows, "How much of it"))
    assert "How much of it" in printed and "x/y" not in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["layer", "share"] in lines and ["conv1", "0.1235"] in lines and ["conv2"] in lines


def test_a_table_without_a_caption_has_its_name(capsys):
    assert "x/y" in shown(capsys, Table("x/y", [{"a": 1}]))


def test_what_looks_like_markup_is_printed_as_it_is(capsys):
    printed = shown(capsys, Table("x", [{"[b]ax": "[red]fox[/red]", "n": 1}], "[bold]title"))
    assert "[red]fox[/red]" in printed and "[b]ax" in printed and "[bold]title" in printed


@pytest.mark.parametrize("count", [0, MAX_ROWS + 1])
def test_no_rows_and_too_many_are_not_printed(count, capsys):
    assert shown(capsys, Table("x", [{"a": 1}] * count)) == ""


def test_forty_rows_are_printed(capsys):
    assert shown(capsys, Table("x", [{"a": "row"}] * MAX_ROWS)).count("row") == MAX_ROWS


def test_a_conclusion_is_printed_as_it_is(capsys):
    assert (
        shown(capsys, Conclusion("x", "95 % [90, 99] of [bold]conv5[/bold]."))
        == "95 % [90, 99] of [bold]conv5[/bold].\n"
    )


def test_other_results_are_passed_over(capsys):
    assert shown(capsys, Number("a", 1.0)) == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, ""), (3, "3"), (0.00012345, "0.0001234"), (1234567.0, "1.235e+06"), ("word", "word"), (True, "True")],
)
def test_cells(value, cell):
    assert cell_text(value) == cell


def test_a_table_too_wide_for_its_few_rows_stands_on_its_side(capsys):
    rows = [{f"column {number}": f"a long cell {number}{run}" for number in range(12)} for run in "xy"]
    lines = [line.split("  ") for line in shown(capsys, Table("x", rows)).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["column 7", "a long cell 7x", "a long cell 7y"] in cells


def test_the_name_of_a_layer_is_not_broken_where_the_table_is_too_wide(capsys):
    rows = [{"layer": f"features.{number}.expand1x1"} | dict.fromkeys("ab", "words " * 20) for number in range(9)]
    printed = shown(capsys, Table("t", rows))
    assert all(f"features.{number}.expand1x1 " in printed for number in range(9))
    long = shown(capsys, Table("t", [{"layer": "x" * 200, "why": "words"}] * 3))
    assert long.count("x") == 3 * 200  # folded, not cut off


def test_a_table_that_fits_neither_upright_nor_on_its_side_is_one_line_with_its_path(capsys):
    names = ["share", *(f"{kind}{end}" for kind in "abcd" for end in ("", "_low", "_high", "_spread"))]
    numbers = [{"layer": "features.1"} | dict.fromkeys(names, 0.01234) for _ in range(30)]
    assert shown(capsys, Table("x/y", numbers, "By layer")) == (
        "By layer; too wide for this terminal: run/tables/x/y.csv\n\n"
    )
    names = [f"measured-{number}" for number in range(14)]
    cells = [{"layer": f"features.{number}", **dict.fromkeys(names, "0.012 [0.011, 0.013]")} for number in range(12)]
    assert shown(capsys, Table("t", cells)) == "t; too wide for this terminal: run/tables/t.csv\n\n"


def test_a_table_whose_heads_alone_are_too_wide_keeps_all_its_columns(capsys):
    names = ["layer", *(f"how much of it is {letter}" for letter in "abcdefgh")]
    printed = shown(capsys, Table("t", [dict.fromkeys(names, 0.25)] * 20))
    assert printed.count("0.25") == 9 * 20 and max(map(len, printed.splitlines())) <= 120


def test_a_table_of_classes_by_classes_keeps_its_rows_however_wide(capsys):
    """Laid on its side it would say that class 3 takes for class 0 what class 0 takes for class 3."""
    names = [f"a class of animals number {number}" for number in range(10)]
    counts = {name: dict.fromkeys(names, 0) | {"another class": 7} for name in names}
    counts[names[0]][names[3]] = 42
    rows = [{"true class": name, **row} for name, row in counts.items()]
    printed = shown(capsys, Table("x", rows, "Images of each true class by the answer"))
    lines = [line.split() for line in printed.splitlines()]
    assert ["true", "class", *map(str, range(1, 11)), "another", "class"] in lines
    assert [*f"1 {names[0]}".split(), "0", "0", "0", "42", *["0"] * 6, "7"] in lines
    assert "columns are numbered as the rows are" in printed and "another class" in printed
    assert sum("42" in line for line in lines) == 1


def test_among_tenths_a_whole_number_has_its_zero(capsys):
    rows = [{"a": 87.5, "n": 2, "m": 62.38, "w": "x.y"}, {"a": 90.0, "n": 3, "m": 60.0, "w": "z"}, {"a": "88.5 ± 1.9"}]
    lines = [line.split() for line in shown(capsys, Table("x", rows)).splitlines()]
    assert ["90.0", "3", "60.00", "z"] in lines


def test_a_column_has_equally_many_decimals_and_no_minus_before_a_zero(capsys):
    rows = [{"a": 74.97, "share": 0.5, "share_low": -0.00001, "share_high": 0.98765}]
    rows += [{"a": -0.001, "share": 0.25, "share_low": 0.1, "share_high": 1.0}]
    lines = [line.split() for line in shown(capsys, Table("x", rows)).splitlines()]
    assert ["74.97", "0.500", "0.000", "0.988"] in lines and ["0.00", "0.250", "0.100", "1.000"] in lines


def test_only_sentences_are_broken_into_lines(capsys):
    """Twelve columns of cells with blanks: none of them is cut in two."""
    cells = [f"map {number} (-0.5 here)" for number in range(12)]
    printed = shown(capsys, Table("t", [dict(zip("abcdefghijkl", cells, strict=True))] * 3, "Caption"))
    table = printed.partition("\n")[2]
    assert max(map(len, table.splitlines())) <= 120 and all(table.count(cell) == 3 for cell in cells)
    why = "because of the words that one would like to read here, however narrow the terminal of a reader may be"
    printed = shown(capsys, Table("t", [{"layer": f"features.{row}", "n": 3, "why": why} for row in range(3)]))
    assert printed.count("because") == 3 and all(word in printed for word in why.split())


def test_a_table_of_which_hardly_a_column_fits_is_one_line_with_its_path(capsys):
    rows = [{name: f"{name} {'o' * 55}" for name in "abcdef"}] * 9
    assert shown(capsys, Table("x/y", rows, "How it went")) == (
        "How it went; too wide for this terminal: run/tables/x/y.csv\n\n"
    )


def test_the_figures_of_a_job_close_it_in_words(capsys, tmp_path):
    found = [Number("a", 0.93, "share of [red]it: 0.93 [0.9, 0.96]"), Number("a_low", 0.9, "its lower end")]
    found += [Number("b", 2.0, epoch=3)]
    show_numbers(found, tmp_path)
    printed = capsys.readouterr().out
    assert (
        ["share", "of", "[red]it", "0.93", "0.9", "to", "0.96"] in [line.split() for line in printed.splitlines()]
        and "lower end" not in printed
        and "b" not in printed.split()
    )


def test_of_many_figures_the_rest_is_counted(capsys, tmp_path):
    show_numbers([Number(f"n{number}", 1.0, f"figure {number}.") for number in range(MAX_NUMBERS + 3)], tmp_path)
    printed = capsys.readouterr().out
    assert (
        f"figure {MAX_NUMBERS - 1}." in printed
        and f"figure {MAX_NUMBERS}." not in printed
        and "and 3 more in" in printed
    )


def test_a_job_without_figures_closes_without_a_table(capsys, tmp_path):
    show_numbers([], tmp_path)
    assert capsys.readouterr().out == ""
