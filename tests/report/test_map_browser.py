"""One map of the atlas in a real browser: its whole images, its epochs, the ways to it and back."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import load_file

from report.long_run import color
from report.on_screen import LONG, OTHER, at_epoch, card, label, screen


def test_a_map_shows_its_whole_image_and_the_box_its_unit_sees(open_long_run, runs):
    page = open_long_run("#layer=conv2&epoch=10&map=17")
    expect(page.locator("#maptitle")).to_have_text("conv2 map 17")
    record = load_file(runs / LONG / "top9" / "epoch_010.safetensors")
    row = next(
        layer
        for layer in json.loads((runs / LONG / "summary.json").read_text())["net"]["rows"]
        if layer["name"] == "conv2"
    )
    for rank in (0, 4, 8):
        page.locator(".panel .rank").nth(rank).hover()
        image = int(record["conv2.image"][17, rank])
        expect(page.locator(".caption:visible")).to_contain_text(f"_{image:05d}.jpg")
        expect(page.locator(".group.whole h4").first).to_have_text(f"whole image, rank {rank + 1}")
        box, frame = page.locator(".field-box").first.bounding_box(), page.locator(".photo").first.bounding_box()
        for side, length, unit in (("x", "width", "col"), ("y", "height", "row")):
            first = row["start"] + row["stride"] * int(record[f"conv2.{unit}"][17, rank])
            low, high = max(0, first), min(96, first + row["field"])
            scale = frame[length] / 96
            assert box[side] - frame[side] == pytest.approx(low * scale, abs=0.6)
            assert box[length] == pytest.approx((high - low) * scale, abs=0.6)


def test_the_kept_rank_is_in_the_address_and_hovering_is_not(open_long_run):
    page = open_long_run("#layer=conv2&epoch=10&map=17")
    ranks = page.locator(".panel .rank")
    ranks.nth(3).click()
    assert page.url.endswith("map=17&rank=3")
    ranks.nth(5).hover()
    expect(page.locator(".group.whole h4").first).to_have_text("whole image, rank 6")
    page.locator("h1").hover()
    expect(page.locator(".group.whole h4").first).to_have_text("whole image, rank 4")
    expect(ranks.nth(3).locator("canvas")).to_have_attribute(
        "aria-label", re.compile("conv2 map 17, epoch 10, rank 4, .+, projection")
    )


def test_the_strip_of_a_map_shows_each_epoch_and_moves_there(open_long_run):
    page = open_long_run("#layer=conv1&epoch=30&map=10")
    cells = page.locator("#strip button")
    expect(cells).to_have_count(64)
    cells.nth(4).scroll_into_view_if_needed()
    tile = cells.nth(30).locator("canvas")
    expected = color(1, 10, False)
    page.wait_for_function("at => document.querySelectorAll('#strip canvas')[at].dataset.drawn", arg=30)
    assert np.abs(np.median(screen(tile).reshape(-1, 3), axis=0) - expected).max() < 12
    cells.nth(4).click()
    expect(page.locator("#shown")).to_have_text("epoch 5")
    expect(page.locator("#strip [aria-current]")).to_have_text("5")
    expect(page.locator("#curve .readout")).to_contain_text("epoch 5")


def test_opening_closing_and_going_back(open_long_run):
    page = open_long_run("#layer=conv4&epoch=20")
    card(page, 24).click()
    expect(page.locator("#maptitle")).to_be_focused()
    assert page.url.endswith("#layer=conv4&epoch=20&map=24")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("j")
    expect(page.locator("#maptitle")).to_have_text("conv4 map 31")
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(page.locator("#maptitle")).to_have_text("conv4 map 17")
    page.keyboard.press("Escape")
    expect(card(page, 17)).to_be_focused()  # where one was, at the epoch that one had come to
    assert page.url.endswith("#layer=conv4&epoch=21")
    page.keyboard.press("j")
    expect(card(page, 24)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#maptitle")).to_have_text("conv4 map 24")
    page.go_back()
    expect(page.locator("#map")).to_be_hidden()
    at_epoch(page, 24, 21)
    page.keyboard.press("5")
    expect(label(page, 24)).to_have_attribute("aria-label", re.compile("conv5 map 24"))


def test_names_of_others_are_only_names(show, runs, tmp_path):
    folder = Path(shutil.copytree(runs / OTHER, tmp_path / "x #1 <b>'\"%"))
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for line in lines:
        if line["name"].startswith("images/"):
            line["sheet"]["names"] = ["\"><img src=x onerror=alert(1)> '猫' \u2028.jpg"] * len(line["sheet"]["names"])
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = show(folder, "#layer=conv1&epoch=2&map=3")
    expect(page.locator(".caption:visible")).to_contain_text("\"><img src=x onerror=alert(1)> '猫'")
    summary = json.loads((folder / "summary.json").read_text())
    attack = next(name for name in summary["classes"] if "<script>" in name)
    for map_ in range(3, 80, 7):
        page.evaluate(f"location.hash = 'layer=conv1&epoch=2&map={map_}'")
        expect(page.locator("#maptitle")).to_have_text(f"conv1 map {map_}")
        if attack in page.locator(".classes:visible").inner_text():
            break
    expect(page.locator(".classes:visible")).to_contain_text(attack)


def test_a_look_without_epochs_has_tiles_and_no_slider(show, runs, tmp_path):
    folder = Path(shutil.copytree(runs / OTHER, tmp_path / "looked"))
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    last = [line for line in lines if line.get("epoch") == 12 or line["name"].startswith("images/")]
    (folder / "index.jsonl").write_text("".join(json.dumps({**line, "epoch": None}) + "\n" for line in last))
    shutil.copy(folder / "top9" / "epoch_012.safetensors", folder / "top9" / "top9.safetensors")
    (folder / "metrics.csv").unlink()
    page = show(folder, "#layer=conv2&map=10")
    expect(page.locator("#maptitle")).to_have_text("conv2 map 10")
    expect(page.locator(".caption:visible")).to_contain_text("score")
    for part in ("#epoch", "#play", "#overtime", "#curve"):
        expect(page.locator(part)).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#tiles a")).to_have_count(12)
    page.keyboard.press("Space")  # nothing to play
    assert page.url.endswith("#layer=conv2")
