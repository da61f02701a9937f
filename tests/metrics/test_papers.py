"""The papers' numbers against relations that hold between their tables, and against the architectures."""

import re
from pathlib import Path

import pytest
import torch
import yaml

import convscope
from convscope.errors import UserError
from convscope.metrics.papers import DATA, PaperTable, PrintedNumber, _table, published_table, published_tables
from convscope.models.build import build

ROOT = Path(__file__).resolve().parents[2]


def values(key, column):
    return {row: published_table(key).figure(row, column) for row in published_table(key).rows}


def test_every_table_names_its_source_and_is_whole():
    for key, table in published_tables().items():
        assert table.key == key and len(table.source) > 40 and table.rows
        assert all(any(figures) for figures in table.rows.values()), key
    shares = [
        table for key, table in published_tables().items() if key not in ("vgg_table2", "parameters", "zf_overlap")
    ]
    assert all(0 < number.value < 100 for table in shares for row in table.rows.values() for number in row if number)


def test_top_5_errors_are_below_top_1_errors():
    checked = 0
    for table in published_tables().values():
        for first in (column for column in table.columns if column.endswith("top-1") and "train" not in column):
            fifth = first.replace("top-1", "top-5")
            for row in table.rows:
                top1, top5 = table.figure(row, first), table.figure(row, fifth)
                checked += bool(top1 and top5)
                assert top1 is None or top5 is None or top5.value < top1.value, (table.key, row)
    assert checked > 50


def test_tables_2_and_3_agree_on_the_nets_that_stand_in_both():
    second, third = published_table("zf_table2"), published_table("zf_table3")
    both = second.runs.keys() & third.runs.keys()
    assert both == {"replication", "zfnet", "zfnet_512_1024_512"}
    for run in both:
        for column in ("val top-1", "val top-5"):
            assert second.figure(second.runs[run], column) == third.figure(third.runs[run], column)


def test_vgg_quotes_zeiler_and_fergus():
    quoted, original = published_table("vgg_table7"), published_table("zf_table2")
    for ours, theirs in (
        ("6 nets", "(a) and (b), 6 nets"),
        ("1 net", "layers 3, 4, 5 of 512, 1024, 512 maps, 1 net (b)"),
    ):
        assert quoted.rows[f"Zeiler & Fergus, {ours}"] == original.rows[theirs]
    last = published_table("vgg_table11").rows["Zeiler & Fergus 2013"]
    assert last[1] == published_table("zf_table6").figure("mean", "Zeiler & Fergus")
    assert last[2] == published_table("zf_table4").figure("pretrained", "30 images per class")
    assert last[3] == published_table("zf_table5").figure("pretrained", "60 images per class")


def test_alexnet_as_zeiler_and_fergus_quote_it():
    alone = list(published_table("alexnet").rows.values())
    quoted = [figures for row, figures in published_table("zf_table2").rows.items() if row.startswith("Krizhevsky")]
    assert alone == quoted


@pytest.mark.parametrize("column, room", [("Sande et al.", 0.3), ("Yan et al.", 0.14), ("Zeiler & Fergus", 0.06)])
def test_the_means_of_table_6_are_those_of_its_columns(column, room):
    """The printed cells of the two others average 74.03 and 82.33: they say the same of cow and dining table."""
    cells = values("zf_table6", column)
    mean = cells.pop("mean").value
    assert len(cells) == 20 and abs(sum(cell.value for cell in cells.values()) / 20 - mean) < room


def test_table_6_is_won_as_often_as_the_paper_counts():
    rows = [figures for row, figures in published_table("zf_table6").rows.items() if row != "mean"]
    best = [max(range(3), key=lambda at: row[at].value) for row in rows]
    assert [best.count(at) for at in range(3)] == [0, 15, 5]


def test_parameter_counts_are_those_of_the_architectures():
    for net, figures in published_table("parameters").rows.items():
        rows = _rows(net)
        assert _count(rows) == figures[0].value, net
    for net, letter in {"vgg11": "A", "vgg13": "B", "vgg16_c": "C", "vgg16": "D", "vgg19": "E"}.items():
        assert round(_count(_rows(net)) / 1e6) == published_table("vgg_table2").figure(letter, "parameters").value


def _count(rows):
    with torch.device("meta"):
        return sum(weight.numel() for weight in build(rows, 224, 1000).parameters())


def _rows(net):
    layers = yaml.safe_load((ROOT / f"conf/model/{net}.yaml").read_text())["layers"]
    if not net.startswith("zfnet_"):
        return layers
    below = yaml.safe_load((ROOT / "conf/model/zfnet.yaml").read_text())["layers"]
    return {name: {**row, **layers.get(name, {})} for name, row in below.items()}


def test_figures_as_text():
    assert [PrintedNumber(38.4).text(), PrintedNumber(86.5, 0.5).text(), PrintedNumber(0.067, 0.007).text(".3f")] == [
        "38.4",
        "86.5 ± 0.5",
        "0.067 ± 0.007",
    ]
    assert published_table("zf_table5").figure("Sohn et al. 2011", "60 images per class") == PrintedNumber(47.9)
    assert published_table("zf_table4").figure("Bo et al. 2013", "15 images per class") is None


def test_each_row_is_compared_with_the_base_of_its_kind():
    third, second = published_table("zf_table3"), published_table("zf_table2")
    assert third.base("zfnet_512_1024_512_8192") == "zfnet" and third.base("zfnet") == "replication"
    assert third.base("replication_no_7") == "replication" and third.base("replication") is None
    assert {second.base(row) for row in second.rows} == {None, "replication of Krizhevsky, 1 net"}
    assert published_table("zf_table1").base("nose") is None


def test_ensembles_are_found_by_their_nets_and_crops():
    second, sixth = published_table("zf_table2"), published_table("vgg_table6")
    assert second.ensemble(["zfnet", "zfnet"], "ten") == "as Fig. 3, 5 nets (a)"
    assert second.ensemble(["zfnet_512_1024_512", "zfnet"], "ten") == "(a) and (b), 6 nets"
    assert second.ensemble(["zfnet", "replication"], "ten") is None
    assert published_table("zf_table3").ensemble([], "ten") is None
    rows = {crops: sixth.ensemble(["vgg19", "vgg16"], crops) for crops in ("dense", "fifty", "both", "ten")}
    assert rows == {"dense": "D and E, dense", "fifty": "D and E, crops", "both": "D and E, both",
                    "ten": "D and E, dense"}  # fmt: skip
    for table in (second, sixth):  # the number of nets that a row names is that of its members
        for row, kinds in table.ensembles.items():
            count = re.search(r"(\d+) nets", row)
            assert sum(kinds.values()) == (int(count[1]) if count else 2)


def test_the_overlap_of_the_caltech_sets():
    """9,144 files of Caltech-101 with its background, 30,607 of Caltech-256: as those sets are published."""
    table = published_table("zf_overlap")
    assert [table.figure(row, "images").value for row in table.rows] == [9144, 30607]
    for row in table.rows:
        shared, total, largest = (table.figure(row, column).value for column in table.columns)
        assert largest < shared < total / 100


def test_what_is_unknown_is_refused_with_what_is_known():
    with pytest.raises(UserError, match=r"no table 'zf_table9' of a paper is known; possible: zf_table1, zf_table2"):
        published_table("zf_table9")
    with pytest.raises(UserError, match=r"Table 3.* has no row 'vgg'; possible: replication, replication_no_3_4"):
        published_table("zf_table3").figure("vgg", "val top-1")
    with pytest.raises(UserError, match=r"has no column 'loss'; possible: train top-1, val top-1, val top-5"):
        published_table("zf_table3").figure("zfnet", "loss")


def test_data_that_do_not_fit_are_named():
    with pytest.raises(UserError, match=r"papers.yaml: row 'a' of x has 1 values for 2 columns"):
        _table("x", {"source": "", "columns": ["b", "c"], "rows": {"a": [1]}})
    with pytest.raises(UserError, match=r"papers.yaml: x has no row 'd'"):
        _table("x", {"source": "", "columns": ["b"], "rows": {"a": [1]}, "bases": ["d"]})
    assert isinstance(_table("x", {"source": "", "columns": ["b"], "rows": {"a": [1]}}), PaperTable)


def test_no_row_or_table_is_written_twice():
    """yaml keeps the last of two equal keys and says nothing."""
    names = re.findall(r"^(\s*)(\"[^\"]+\"|[^#\s][^:]*):", DATA.read_text(encoding="utf-8"), re.MULTILINE)
    tables = [name for indent, name in names if not indent]
    assert len(tables) == len(set(tables)) == len(published_tables())
    rows = [name for indent, name in names if len(indent.strip("\n")) == 4]
    extra = sum(len(table.runs) for key, table in published_tables().items() if key == "zf_table2")
    extra += sum(len(table.ensembles) for table in published_tables().values())
    assert len(rows) == sum(len(table.rows) for table in published_tables().values()) + extra


def test_the_file_is_installed_with_the_package():
    import tomllib

    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["convscope"]
    assert DATA in {path for pattern in data for path in Path(convscope.__file__).parent.glob(pattern)}
