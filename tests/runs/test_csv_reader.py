"""Any table that a spreadsheet has written is read back; what is no csv is one line, and costs no time and room."""

import csv
import os
import re
import resource

import pytest
from hypothesis import assume, given, strategies

from convscope.errors import UserError
from convscope.runs.csv_reader import MAX_BYTES, read_csv
from convscope.runs.reading import read_run, read_table
from random_settings import tried

NEEDED = ["wnid", "name"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}  # which Python writes for utf-16 alone
TEXTS = {
    False: strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")),
    True: strategies.text("abcXYZ 019,;\t\n\r\"'=+éßÜ½", max_size=12),
}


def written(rows, dialect, quote_all):
    """The text of a csv file, quoted as RFC 4180 says, by no csv library."""
    delimiter, end = dialect

    def cell(text):
        special = quote_all or any(sign in text for sign in (delimiter, '"', "\r", "\n")) or text != text.strip()
        return '"' + text.replace('"', '""') + '"' if special else text

    return "".join(delimiter.join(map(cell, row)) + end for row in rows)


@strategies.composite
def files(draw):
    """The content of a file, the columns that are needed and those besides, and the rows."""
    encoding = draw(strategies.sampled_from(ENCODINGS))
    cells = TEXTS[encoding in ("cp1252", "latin-1") or draw(strategies.booleans())].map(str.strip)
    more = draw(strategies.lists(strategies.text("klmNOÖ_1 ", min_size=1).map(str.strip), max_size=2, unique=True))
    columns = draw(strategies.permutations([*NEEDED, *(name for name in more if name)]))
    row = strategies.lists(cells, min_size=len(columns), max_size=len(columns)).filter(any)
    rows = draw(strategies.lists(row, min_size=1, max_size=4))
    header = [draw(strategies.sampled_from([str, str.upper, str.title]))(name) if name in NEEDED else name
              for name in columns]  # fmt: skip
    delimiter, end = draw(strategies.sampled_from(",;\t")), draw(strategies.sampled_from(["\n", "\r\n", "\r"]))
    blanks, wider = draw(strategies.booleans()), draw(strategies.integers(0, 3))
    table = [[f" {name}  " for name in header] if blanks else header, *rows]
    table = [[*cells, *[""] * wider] for cells in table]
    for place in draw(strategies.lists(strategies.integers(1, len(table)), max_size=2)):
        table.insert(place, [""] * draw(strategies.integers(1, 4)))
    text = written(table, (delimiter, end), draw(strategies.booleans()))
    text = f"sep={delimiter}{end}{text}" if draw(strategies.booleans()) else text
    text = text if draw(strategies.booleans()) else text.rstrip(end)
    content = MARKS.get(encoding, b"") + text.encode(encoding)
    assume(encoding not in ("cp1252", "latin-1") or text.isascii() or not is_utf8(content))
    return content, columns, rows


def is_utf8(content):
    try:
        return content.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


@tried(120)
@given(files())
def test_any_table_of_any_spreadsheet_reads_back_equal(tmp_path_factory, file):
    content, columns, rows = file
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    table = read_csv(path, NEEDED, "a first line wnid,name")
    assert table.columns == columns
    assert [row.cells for row in table.rows] == rows
    assert [row.line for row in table.rows] == sorted({row.line for row in table.rows})


@tried(200)
@given(strategies.one_of(strategies.binary(max_size=60), strategies.text('wnid,name;\t"\r\n= \0é').map(str.encode)))
def test_any_bytes_are_a_table_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(content)
    limit = csv.field_size_limit()
    try:
        assert set(NEEDED) <= set(read_csv(path, NEEDED, "a first line wnid,name").columns)
    except UserError as problem:
        assert str(problem).startswith(str(path)) and str(problem).isprintable()
    assert csv.field_size_limit() == limit
    read_table(path)  # the file of a run: damaged ones are passed over


WRONG = {
    b"": "it is empty; needed: a first line",
    b" \r\n\r\n": "it is empty",
    b"wnid;name\n": "has no rows below its columns wnid, name",
    b"PK\x03\x04\x14\0": "it is a workbook .* save it as csv",
    b"\xd0\xcf\x11\xe0\xa1": "it is a workbook",
    b"wnid,name\na,b\0\n": "line 2 has zero bytes",
    b'wnid,name\na,"b\nc,d\n': "the quote \" that opens in the row of line 2 is not closed",
    b"wnid,name,name\na,b,c\n": "has the column name twice",
    b"wnid,title\na,b\n": "has no column name; its columns: wnid, title; needed: a first line wnid,name",
    b"\xff\xfew\0n": "it is no text of utf-16|has no column",
    b"wnid,\x1b[31mname\na,b\n": r"its columns: wnid, \\x1b\[31mname",
}  # fmt: skip


@pytest.mark.parametrize("content", WRONG)
def test_what_is_wrong_is_named(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(UserError, match=WRONG[content]) as problem:
        read_csv(tmp_path / "x.csv", NEEDED, "a first line wnid,name")
    assert str(problem.value).isprintable()


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", MAX_BYTES + 1)  # sparse
    for name, line in (("pipe", "it is no file"), (".", "it is a folder"), ("no", "No such file"),
                       ("large", "it has 128 MiB, and a csv may have 128")):  # fmt: skip
        with pytest.raises(UserError, match=line):
            read_csv(tmp_path / name, NEEDED, "a first line wnid,name")


@pytest.mark.parametrize(
    "content", [b"," * 10**7, b"wnid,name" + b",a" * 9000 + b"\n" + b"x,y\n" * 10**5, b'wnid,name\n"' + b"a\n" * 10**5]
)
def test_a_bomb_is_refused_in_little_room(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError):
        read_csv(tmp_path / "x.csv", NEEDED, "a first line wnid,name")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: the table would take 7 GiB


def test_a_cell_may_be_longer_than_pythons_limit(tmp_path):
    (tmp_path / "x.csv").write_text(f"wnid,name\na,{'n' * 200_000}\n")
    assert len(read_csv(tmp_path / "x.csv", NEEDED, "").rows[0].cells[1]) == 200_000


def test_the_numbers_of_a_run_survive_a_spreadsheet(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,val/top1,note\n1,0.25,\n2,-1.5e-3,x\n")
    before = read_run(tmp_path).metrics
    text = (tmp_path / "metrics.csv").read_text().replace(",", ";")
    text = re.sub(r"(\d)\.(\d)", r"\1,\2", text).replace("\n", "\r\n")
    (tmp_path / "metrics.csv").write_text(text, encoding="utf-16", newline="")
    assert read_run(tmp_path).metrics == before == {"epoch": [1, 2], "val/top1": [0.25, -0.0015], "note": [None, None]}
