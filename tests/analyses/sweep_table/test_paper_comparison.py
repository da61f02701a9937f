"""Rows beside the paper's: which, whether comparable, which way."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from convscope.analyses.sweep_table.compute.ablation_deltas import ablation_deltas, in_words, validation_images
from convscope.analyses.sweep_table.compute.paper_comparison import (
    departures,
    full_size_parameters,
    in_paper_order,
    paper_row,
    paper_table,
    percent,
    printed_figure,
)
from convscope.analyses.sweep_table.job import delta_results
from convscope.errors import UserError
from convscope.metrics.papers import published_table
from convscope.runs.reading import Run
from convscope.runs.sweep_runs import SeedGroup
from convscope.runs.training_runs import TrainingRun

CONF = Path(__file__).resolve().parents[3] / "conf"
IMAGENET = {"source": "imagenet", "image_size": 224, "limit": None}


def group(net, top1=(), experiment=None, data=IMAGENET, width=1.0, classes=1000, state="finished", images=50_000):
    settings = {"model": {"source": "rows", "name": net, "width": width}, "data": data}
    choices = {"experiment": experiment} if experiment else {}
    summary = {"classes": ["a"] * classes, "images": {"val": images}}
    run = Run(Path(net), [], {}, summary, yaml.safe_dump(settings), [], choices, [])
    return SeedGroup(net, [TrainingRun(run, seed, {"val/top1": value}, 1, state) for seed, value in enumerate(top1)])


def test_the_table_is_that_of_the_experiment_or_of_the_nets():
    assert paper_table([group("zfnet", [0.5], "table2")], None).key == "zf_table2"
    assert paper_table([group("zfnet", [0.5], "table3")], None).key == "zf_table3"
    assert paper_table([group("zfnet", [0.5]), group("zfnet_2048", [0.5])], None).key == "zf_table3"
    assert paper_table([group("zfnet", [0.5]), group("zfnet", [0.4])], None) is None  # one net in two ways
    assert paper_table([group("resnet18", [0.5])], "zf_table3").key == "zf_table3"


def test_rows_by_the_net_in_the_paper_s_order():
    second, third = published_table("zf_table2"), published_table("zf_table3")
    groups = [group("mine", [0.5]), group("zfnet_8192", [0.5]), group("zfnet", [0.5]), group("replication", [0.5])]
    assert [paper_row(runs, third) for runs in groups] == [None, "zfnet_8192", "zfnet", "replication"]
    assert paper_row(groups[2], second) == "as Fig. 3, 1 net"
    assert [runs.name for runs in in_paper_order(groups, third)] == ["replication", "zfnet", "zfnet_8192", "mine"]
    assert printed_figure(third, None, "val top-1") is None and printed_figure(third, "zfnet", "class accuracy") is None
    assert printed_figure(third, "zfnet", "val top-1").value == 38.4


def test_full_imagenet_at_full_size_alone_is_comparable():
    assert departures(group("zfnet", [0.5])) == []
    small = {"source": "folder", "image_size": 128, "limit": 500}
    reasons = departures(group("zfnet", [0.5], data=small, width=0.25, classes=10))
    assert reasons == ["data folder", "10 classes", "500 images", "width 0.25", "128 px"]


def test_parameters_at_full_size_whatever_the_width():
    printed = published_table("parameters")
    for net in ("zfnet", "alexnet", "alexnet_2012"):
        model = yaml.safe_load((CONF / f"model/{net}.yaml").read_text()) | {"width": 0.1}
        assert full_size_parameters({"model": model}) == printed.figure(net, "parameters").value
    assert full_size_parameters({"model": {"source": "timm", "name": "resnet18"}}) is None
    large = {"conv1": {"kind": "conv", "maps": 4, "kernel": 300}, "fc2": {"kind": "full", "units": "classes"}}
    assert full_size_parameters({"model": {"layers": large}}) is None


def test_the_way_of_each_row_beside_the_paper_s():
    groups = [group("replication", [0.6]), group("replication_no_7", [0.65]), group("zfnet", [0.5]),
              group("zfnet_8192", [0.7], state="running: epoch 1 of 2"), group("zfnet_2048", [0.5002])]  # fmt: skip
    deltas = {delta.row: delta for delta in ablation_deltas(groups, published_table("zf_table3"), None)}
    assert set(deltas) == {"replication_no_7", "zfnet", "zfnet_2048"}  # neither the base nor what has not finished
    assert deltas["replication_no_7"].base == "replication" and deltas["replication_no_7"].agrees
    assert deltas["replication_no_7"].ours == pytest.approx(-5) and deltas["replication_no_7"].paper == pytest.approx(
        -0.5
    )
    assert deltas["zfnet"].base == "replication" and deltas["zfnet"].ours == pytest.approx(10)
    assert not deltas["zfnet"].agrees
    assert deltas["zfnet_2048"].base == "zfnet" and deltas["zfnet_2048"].agrees is None  # 0.02 points: chance


@pytest.mark.parametrize(
    ("ours", "theirs", "images", "expected"),
    [
        ([0.10], [0.10], 400, "within chance"),  # two nets at chance
        ([0.62], [0.60], 400, "within chance"),  # half a standard error
        ([0.80], [0.60], 400, "yes"),
        ([0.60], [0.80], 400, "no"),
        ([0.62], [0.60], 400_000, "yes"),
        ([0.80], [0.60], 0, "not known"),  # of one image or of a million?
        ([0.62, 0.70, 0.55], [0.60, 0.52, 0.71], 400_000, "within chance"),  # the seeds differ by more
        ([0.70, 0.71, 0.69], [0.60, 0.61, 0.59], 10, "yes"),
        ([0.70, 0.70], [0.60, 0.60], 10, "yes"),  # nothing varies
    ],
)
def test_a_row_goes_the_paper_s_way_only_beyond_chance(ours, theirs, images, expected):
    groups = [group("replication_no_7", ours, images=images), group("replication", theirs, images=images)]
    (delta,) = ablation_deltas(groups, published_table("zf_table3"), None)
    assert delta.paper < 0  # better in the paper
    tables = list(delta_results([delta], groups, published_table("zf_table3")))
    (row,) = tables[0].rows
    assert row["same way"] == expected
    assert len(tables) == (2 if expected in ("yes", "no") else 1)  # no share of nothing
    if row["95 %"]:
        low, high = map(float, row["95 %"].split(" to "))
        assert (low <= 0 <= high) == (expected == "within chance")


def test_the_interval_of_one_seed_covers_the_truth_as_often_as_it_says():
    """Two nets of one true accuracy: in at most about 5 of 100 pairs of samples a difference is told from chance."""
    draw, differences = np.random.default_rng(0), 0
    for _ in range(400):
        top1 = draw.binomial(200, 0.6, 2) / 200
        groups = [group("a", [top1[0]], images=200), group("b", [top1[1]], images=200)]
        differences += not ablation_deltas(groups, None, "b")[0].chance
    assert 2 <= differences <= 36


def test_validation_images_are_those_of_the_summary_or_of_what_was_drawn():
    new = group("a", [0.5], images=7).runs[0].run
    assert validation_images(new) == 7
    old = new._replace(summary={})
    assert validation_images(old) == 0
    assert validation_images(old._replace(config="data: {val: 30, limit: null}")) == 30
    assert validation_images(old._replace(config="data: {val: 30, limit: 12}")) == 12


def test_a_base_of_one_s_own():
    groups = [group("mine", [0.5]), group("yours", [0.25])]
    (delta,) = ablation_deltas(groups, None, "mine")
    assert delta[:4] == ("yours", "mine", 25.0, None) and not delta.chance
    assert ablation_deltas(groups, None, None) == []
    assert ablation_deltas(groups, None, "mine")[0].agrees is None
    with pytest.raises(UserError, match=r"table.base=theirs is no row; possible: mine, yours"):
        ablation_deltas(groups, None, "theirs")


def test_a_base_that_was_not_trained():
    assert ablation_deltas([group("zfnet_2048", [0.5])], published_table("zf_table3"), None) == []


def test_shares_are_errors_in_percent():
    assert percent(group("a", [0.25]), "val top-1") == (75, None)
    assert percent(group("a", [0.25]), "val top-5") is None


def test_what_a_sweep_says_first():
    groups = [group("a", [0.5, 0.52]), group("b", [0.7, 0.72]), group("c", [0.9], state="stopped: epoch 1 of 3")]
    words = in_words(groups, ablation_deltas(groups, None, "a"))
    assert words.startswith(
        "The best of 2 finished rows is b, with val top-1 71.0 ± 1.4 % over 2 seeds; the worst is a, with val top-1 "
        "51.0 ± 1.4 % over 2 seeds. 1 of 1 rows differ by more than chance from the one they change: b better than a "
        "by 20.0 points of error (difference -20.0 ["
    )
    single = [group("a", [0.5], images=100), group("b", [0.52], images=100)]
    words = in_words(single, ablation_deltas(single, None, "a"))
    assert "is b, with val top-1 52.0 % [42.3, 61.5] of 100 images, one seed" in words  # Wilson's interval
    assert words.endswith("0 of 1 rows differ by more than chance from the one they change.")
    assert in_words(groups[2:], []) == "None of the 1 rows has finished."
