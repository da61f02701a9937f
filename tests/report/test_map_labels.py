"""Parts of a dissection on the maps of the atlas: found by the notes of a run, drawn and chosen on its page."""

import csv
import json
import os
import shutil

import pytest
from playwright.sync_api import expect

from convscope.report.atlas import build_atlas
from convscope.report.linked_runs import note_analysis
from convscope.report.map_labels import map_labels
from convscope.report.page import write_page
from convscope.runs.reading import read_run
from report.long_run import long_run

HEADER = ["layer", "map", "part", "IoU", "IoU low", "IoU high", "shuffled masks", "untrained", "detector"]


def dissection(folder, rows):
    """A finished dissection with these rows of its table of maps: layer, map, part, IoU, detector."""
    (folder / "tables/dissection").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"job": "dissect", "finished": True}))
    with open(folder / "tables/dissection/maps.csv", "w", newline="") as file:
        cells = [[*row[:4], 0, 1, 0.01, 0.02, row[4]] for row in rows]
        csv.writer(file).writerows([HEADER, *cells])
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run of two layers that show the maps 3, 10, 17, 24, and two dissections of its net."""
    parent = tmp_path_factory.mktemp("dissected")
    trained = long_run(parent / "trained", 2, 2, 4)
    for name, iou in (("old", 0.9), ("new", 0.123)):
        rows = [("conv1", 3, "eyes", iou, "yes"), ("conv1", 10, "nose", 0.05, "yes"), ("conv1", 17, "eyes", 0.01, ""),
                ("conv2", 24, "<b>ears</b>", 0.2, "yes"), ("conv2", 5, "mouth", 0.3, "yes")]  # fmt: skip
        note_analysis(dissection(parent / name, rows), trained, "dissect", name)
    note_analysis(parent / "gone", trained, "dissect", "later")
    return trained


def test_the_newest_dissection_that_is_there_counts(run):
    labels = map_labels(read_run(run))
    assert labels["conv1"][3] == ("eyes", 0.123, True) and labels["conv1"][17] == ("eyes", 0.01, False)
    atlas = build_atlas(read_run(run))
    assert atlas.overview["parts"] == ["<b>ears</b>", "eyes", "nose"]  # map 5 is not shown
    of_layer = {layer: content["labels"] for layer, content in atlas.layers.values()}
    assert [label and label["part"] for label in of_layer["conv1"]] == ["eyes", "nose", "eyes", None]


def test_another_analysis_of_the_net_has_the_labels_too(run, tmp_path):
    looked = read_run(run)._replace(folder=tmp_path, summary={"of_run": os.path.relpath(run, tmp_path)})
    assert map_labels(looked)["conv1"][10].part == "nose"
    assert map_labels(looked._replace(summary={"of_run": str(run)})) == {}  # an absolute folder is nobody's
    assert map_labels(looked._replace(summary={"of_run": 3})) == {}


DAMAGED = ["", "layer,map\nconv1,3\n", "\0\0", "layer,map,part,IoU,detector\nconv1,x,eyes,1,yes\n"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_table_has_no_labels(run, tmp_path, text):
    copy = shutil.copytree(run.parent, tmp_path / "copy")
    for name in ("old", "new"):
        (copy / name / "tables/dissection/maps.csv").write_text(text)
    assert map_labels(read_run(copy / "trained")) == {}


@pytest.mark.slow
def test_the_page_shows_and_chooses_the_parts(run, opened):
    page = opened(write_page(run), "#layer=conv1")
    cards = page.locator("#tiles .card")
    expect(cards).to_have_count(4)
    expect(cards.nth(0).locator(".part")).to_have_text("detects eyes, IoU 0.12")
    expect(cards.nth(2).locator(".part")).to_have_text("")  # of its largest IoU, yet no detector
    expect(cards.nth(3).locator(".part")).to_have_text("")
    page.get_by_label("detects").select_option("eyes")
    expect(cards).to_have_count(1)
    expect(page.locator("#tally")).to_contain_text("1 of the 4 drawn maps (of 25) detects eyes.")
    expect(page.locator("#tally")).not_to_contain_text("shown")
    assert "part=eyes" in page.url
    cards.nth(0).click()
    expect(page.locator(".panel").first).to_contain_text("detects eyes, IoU 0.12")
    expect(page.locator("#after")).to_be_disabled()  # of the maps of this part it is the only one
    page.keyboard.press("Escape")
    page.get_by_role("button", name="conv2").click()
    expect(page.locator("#tally")).to_contain_text("None of the 4 drawn maps (of 25) detect eyes.")
    page.get_by_label("detects").select_option("<b>ears</b>")
    expect(cards.nth(0).locator(".part")).to_have_text("detects <b>ears</b>, IoU 0.20")
