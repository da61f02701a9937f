"""Rows beside the paper's: which, whether comparable, which way."""

from pathlib import Path

import pytest
import yaml

from convscope.problem import Problem
from convscope.report.collected import Group
from convscope.report.reading import Run
from convscope.report.trained import Trained
from convscope.score.papers import paper
from convscope.study.beside import (
    Direction,
    departures,
    directions,
    full_size,
    in_its_order,
    paper_table,
    printed,
    row_of,
    share,
)

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
IMAGENET = {"source": "imagenet", "image_size": 224, "limit": None}


def group(net, top1=(), experiment=None, data=IMAGENET, width=1.0, classes=1000, state="finished"):
    settings = {"model": {"source": "rows", "name": net, "width": width}, "data": data}
    choices = {"experiment": experiment} if experiment else {}
    summary = {"classes": ["a"] * classes}
    run = Run(Path(net), [], {}, summary, yaml.safe_dump(settings), [], choices, [])
    return Group(net, [Trained(run, seed, {"val/top1": one}, 1, state) for seed, one in enumerate(top1)])


def test_the_table_is_that_of_the_experiment_or_of_the_nets():
    assert paper_table([group("zfnet", [0.5], "table2")], None).key == "zf_table2"
    assert paper_table([group("zfnet", [0.5], "table3")], None).key == "zf_table3"
    assert paper_table([group("zfnet", [0.5]), group("zfnet_2048", [0.5])], None).key == "zf_table3"
    assert paper_table([group("zfnet", [0.5]), group("zfnet", [0.4])], None) is None  # one net in two ways
    assert paper_table([group("resnet18", [0.5])], "zf_table3").key == "zf_table3"


def test_rows_by_the_net_in_the_paper_s_order():
    second, third = paper("zf_table2"), paper("zf_table3")
    groups = [group("mine", [0.5]), group("zfnet_8192", [0.5]), group("zfnet", [0.5]), group("replication", [0.5])]
    assert [row_of(each, third) for each in groups] == [None, "zfnet_8192", "zfnet", "replication"]
    assert row_of(groups[2], second) == "as Fig. 3, 1 net"
    assert [each.name for each in in_its_order(groups, third)] == ["replication", "zfnet", "zfnet_8192", "mine"]
    assert printed(third, None, "val top-1") is None and printed(third, "zfnet", "class accuracy") is None
    assert printed(third, "zfnet", "val top-1").value == 38.4


def test_full_imagenet_at_full_size_alone_is_comparable():
    assert departures(group("zfnet", [0.5])) == []
    small = {"source": "folder", "image_size": 128, "limit": 500}
    told = departures(group("zfnet", [0.5], data=small, width=0.25, classes=10))
    assert told == ["data folder", "10 classes", "500 images", "width 0.25", "128 px"]


def test_parameters_at_full_size_whatever_the_width():
    known = paper("parameters")
    for net in ("zfnet", "alexnet", "alexnet_2012"):
        model = yaml.safe_load((CONF / f"model/{net}.yaml").read_text()) | {"width": 0.1}
        assert full_size({"model": model}) == known.figure(net, "parameters").value
    assert full_size({"model": {"source": "timm", "name": "resnet18"}}) is None
    large = {"conv1": {"kind": "conv", "maps": 4, "kernel": 300}, "fc2": {"kind": "full", "units": "classes"}}
    assert full_size({"model": {"layers": large}}) is None


def test_the_way_of_each_row_beside_the_paper_s():
    groups = [group("replication", [0.6]), group("replication_no_7", [0.65]), group("zfnet", [0.5]),
              group("zfnet_8192", [0.7], state="running: epoch 1 of 2"), group("zfnet_2048", [0.5002])]  # fmt: skip
    found = {way.row: way for way in directions(groups, paper("zf_table3"), None)}
    assert set(found) == {"replication_no_7", "zfnet", "zfnet_2048"}  # neither the base nor what has not finished
    assert found["replication_no_7"].base == "replication" and found["replication_no_7"].agrees
    assert found["replication_no_7"].here == pytest.approx(-5) and found["replication_no_7"].paper == pytest.approx(
        -0.5
    )
    assert found["zfnet"].base == "replication" and found["zfnet"].here == pytest.approx(10)
    assert not found["zfnet"].agrees
    assert found["zfnet_2048"].base == "zfnet" and found["zfnet_2048"].agrees is False  # the same here, worse there


def test_a_base_of_one_s_own():
    groups = [group("mine", [0.5]), group("yours", [0.25])]
    assert directions(groups, None, "mine") == [Direction("yours", "mine", 25.0, None)]
    assert directions(groups, None, None) == []
    assert directions(groups, None, "mine")[0].agrees is None
    with pytest.raises(Problem, match=r"table.base=theirs is no row; possible: mine, yours"):
        directions(groups, None, "theirs")


def test_a_base_that_was_not_trained():
    assert directions([group("zfnet_2048", [0.5])], paper("zf_table3"), None) == []


def test_shares_are_errors_in_percent():
    assert share(group("a", [0.25]), "val top-1") == (75, None)
    assert share(group("a", [0.25]), "val top-5") is None
