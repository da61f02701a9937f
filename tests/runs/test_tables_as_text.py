import csv

from convscope.runs.number_format import csv_table, latex, markdown

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
