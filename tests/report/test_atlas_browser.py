"""The atlas in a real browser: a run of 64 epochs, 5 layers and 16 shown maps, its tiles read back from the screen."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import load_file

from convscope.report import linked_runs
from convscope.report.page import write_page
from report.long_run import color
from report.on_screen import LONG, MAPS, OTHER, at_epoch, card, label, order, screen


def test_every_map_stands_on_a_tile_of_its_own(open_long_run, runs):
    page = open_long_run("#layer=conv2&epoch=10")
    at_epoch(page, 3, 10)
    assert order(page) == MAPS
    expect(page.locator("#tally")).to_contain_text("16 of")
    for map_ in (3, 52, 94):
        for kind in ("projections", "patches"):
            pixels = screen(card(page, map_).locator(f"canvas.{kind}"))
            middle = np.median(pixels.reshape(-1, 3), axis=0)
            assert np.abs(middle - color(2, map_, kind == "patches")).max() < 12  # a jpeg's color


def test_the_slider_moves_every_tile_at_once(open_long_run):
    page = open_long_run("#layer=conv2&epoch=10")
    at_epoch(page, 3, 10)
    before = {map_: screen(label(page, map_)) for map_ in (3, 94)}
    page.locator("#epoch").fill("30")
    for map_ in MAPS:
        at_epoch(page, map_, 31)
    for map_, pixels in before.items():  # another stamp on each tile, the same color around it
        assert 0.005 < (np.abs(screen(label(page, map_)) - pixels).max(axis=2) > 60).mean() < 0.3
    expect(page.locator("#shown")).to_have_text("epoch 31")
    assert page.url.endswith("#layer=conv2&epoch=31")


def test_play_runs_to_the_end(open_long_run):
    page = open_long_run("#layer=conv1&epoch=62")
    page.locator("body").press("Space")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")
    at_epoch(page, 3, 64)
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")
    assert page.url.endswith("epoch=64")


def test_sorting_by_strength_stability_and_death(open_long_run, runs):
    page = open_long_run("#layer=conv3&epoch=64")
    at_epoch(page, 3, 64)
    record = load_file(runs / LONG / "top9" / "epoch_064.safetensors")
    strength = {map_: float(record["conv3.score"][map_, 0]) for map_ in MAPS}
    dead = [map_ for map_ in MAPS if strength[map_] == 0]
    assert len(dead) == 1
    page.locator("#sort").select_option("strength")
    expect(page.locator("#tiles a").first).to_have_attribute("data-map", str(max(strength, key=strength.get)))
    assert [strength[map_] for map_ in order(page)] == sorted(strength.values(), reverse=True)
    page.locator("#sort").select_option("dead")
    expect(page.locator("#tiles a").first).to_have_attribute("data-map", str(dead[0]))
    expect(page.locator("#tiles a").first).to_contain_text("dead")
    expect(page.locator("#tally")).to_contain_text(f"Dead at epoch 64: map {dead[0]}.")
    expect(page.locator(".dead:visible")).to_have_count(1)
    page.locator("#sort").select_option("stability")
    expect(page.locator("#tiles a").first).not_to_have_attribute("data-map", str(dead[0]))
    overlap = stability(runs / LONG, 64)
    assert [overlap[map_] for map_ in order(page)] == sorted(overlap.values(), reverse=True)
    assert page.url.endswith("sort=stability")


def stability(folder, epochs):
    """conv3: map -> the mean share of its images that were among its nine one epoch before, to three digits."""
    records = [load_file(folder / "top9" / f"epoch_{epoch:03d}.safetensors") for epoch in range(1, epochs + 1)]
    nine = [{m: set(r["conv3.image"][m][r["conv3.score"][m] > 0].tolist()) for m in MAPS} for r in records]
    overlap = {}
    for map_ in MAPS:
        pairs = [(after[map_], before[map_]) for before, after in zip(nine[:-1], nine[1:], strict=True) if after[map_]]
        overlap[map_] = round(float(np.mean([len(after & before) / len(after) for after, before in pairs])), 2)
    return overlap


def test_a_link_brings_everything_back(open_long_run):
    address = "#layer=conv3&epoch=4&sort=strength&show=patches&beside=epoch:2"
    page = open_long_run(address)
    at_epoch(page, 3, 2, side=1)
    expect(label(page, 3)).to_be_hidden()  # patches alone
    expect(card(page, 3).locator("canvas.patches")).to_be_visible()
    expect(page.locator("#sort")).to_have_value("strength")
    assert page.url.endswith(address)
    page.evaluate("location.hash = 'layer=conv1&epoch=7&map=45&rank=2'")
    expect(page.locator("#maptitle")).to_have_text("conv1 map 45")
    expect(page.locator(".group.whole h4").first).to_have_text("whole image, rank 3")


@pytest.mark.parametrize(
    "address",
    [
        "#layer=conv1&epoch=64&map=4",
        "#layer=conv1&map=x&beside=run:../..&sort=up",
        "#layer=conv1&epoch=64&rank=2&beside=epoch:99",
    ],
)
def test_a_wrong_link_shows_the_layer(open_long_run, address):
    page = open_long_run(address)
    at_epoch(page, 3, 64)
    assert page.url.endswith("#layer=conv1&epoch=64")


def test_beside_another_epoch(open_long_run):
    page = open_long_run("#layer=conv2&epoch=10")
    page.locator("#compare").select_option("epoch 2")
    at_epoch(page, 31, 10)
    at_epoch(page, 31, 2, side=1)
    page.locator("#epoch").fill("40")
    at_epoch(page, 31, 41)
    at_epoch(page, 31, 2, side=1)
    card(page, 31).click()
    expect(page.locator(".panel .when")).to_have_text(["epoch 41", "epoch 2"])
    expect(page.locator(".panel").nth(1).locator("canvas").first).to_have_attribute(
        "aria-label", re.compile("epoch 2, rank 1")
    )


def test_beside_another_run(open_long_run, runs):
    page = open_long_run("#layer=conv3&epoch=3")
    page.locator("#compare").select_option(f"run:{OTHER}")
    at_epoch(page, 17, 3, side=1)
    expect(page.locator("#tally")).to_contain_text("Beside it: short, 3 January 2026")
    assert page.evaluate("window.DATA.atlas.layers.length") == 5  # still its own
    expect(card(page, 108, side=1)).to_contain_text("not shown there")
    page.locator("#epoch").fill("63")
    expect(label(page, 17, side=1)).to_have_attribute("aria-label", re.compile("other run, epoch 12"))
    card(page, 17).click()
    expect(page.locator(".panel .when")).to_have_text(["this run, epoch 64", "other run, epoch 12, map 17"])
    expect(page.locator("#curve svg[role=img]")).to_have_attribute("aria-label", re.compile("other run from"))
    expect(page.locator("#strip button")).to_have_count(64)
    expect(page.locator("#otherstrip button")).to_have_count(12)
    page.get_by_role("button", name="other run, conv3 map 17, epoch 2", exact=True).click()
    expect(page.locator(".strip-of [aria-current]")).to_have_text(["2", "2"])
    page.keyboard.press("4")
    expect(page.locator("#tally")).to_contain_text("shows no maps of conv4")


def test_a_link_of_a_sweep_names_only_the_run_beside_also_one_that_the_page_does_not_know(show, runs, monkeypatch):
    monkeypatch.setattr(linked_runs, "MAX_COMPARABLE", 0)
    page = show(runs / OTHER, f"#beside=run%3A{LONG}")
    at_epoch(page, 17, 12)
    at_epoch(page, 17, 12, side=1)
    assert page.locator("#compare").input_value() == f"run:{LONG}"
    expect(page.locator("#compare option:checked")).to_have_text(LONG)
    monkeypatch.undo()
    write_page(runs / OTHER)


def test_the_first_view_is_light_and_only_what_is_seen_is_loaded(open_long_run, page, runs):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    open_long_run()
    at_epoch(page, 3, 64)
    page.wait_for_timeout(400)
    files = {Path(unquote(urlparse(url).path)) for url in requests if url.startswith("file:")}
    assert all(runs / LONG in file.parents for file in files)
    assert [file.name for file in files if file.parent.name == "atlas"] == ["conv3.js"]  # the middle layer
    assert sum("top9" in file.parts for file in files) == 1
    assert sum(file.stat().st_size for file in files) < 2e6


@pytest.mark.parametrize(
    "address",
    [
        "#layer=conv3&epoch=9",
        "#layer=conv3&epoch=9&map=17",
        "#layer=conv3&epoch=9&map=17&beside=epoch:2",
        f"#layer=conv3&epoch=9&beside=run:{OTHER}",
    ],
)
def test_a_phone_needs_no_sideways_scrolling_and_no_thin_fingers(open_long_run, page, address):
    page.set_viewport_size({"width": 375, "height": 740})
    open_long_run(address)
    expect(page.locator("#tiles a:visible, #map .rank:visible").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    small = "[...document.querySelectorAll('#features button, #features select, #features input, #features .card')]"
    small += ".filter(each => each.offsetParent && Math.min(each.offsetWidth, each.offsetHeight) < 40).map(e => e.id)"
    assert page.evaluate(small) == []


def test_dark_tiles_stand_on_a_dark_page(open_long_run, page):
    page.emulate_media(color_scheme="dark")
    open_long_run("#layer=conv3&epoch=20&sort=dead")
    dead_tile = screen(page.locator("#tiles a").first)
    assert np.median(dead_tile) < 60
    expect(page.locator("#tiles a .dead").first).to_be_visible()


def test_grids_without_places_are_shown_whole(show, runs, tmp_path):
    folder = Path(shutil.copytree(runs / OTHER, tmp_path / "old"))
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for line in lines:
        if line.get("epoch") == 2 or line.get("layer") == "conv3":
            line.pop("sheet", None)
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = show(folder, "#layer=conv1&epoch=3")
    at_epoch(page, 3, 3)
    page.locator("#epoch").fill("1")
    expect(page.locator("#top9 img").first).to_have_attribute("src", "../pictures/top9/conv1/epoch_002.webp")
    expect(page.locator("#tiles")).to_be_hidden()
    page.locator(".layers").get_by_role("button", name="conv3").click()
    expect(page.locator("#top9 img").first).to_have_attribute("src", "../pictures/top9/conv3/epoch_002.webp")


def test_runs_that_show_other_maps_stand_beside_each_other_in_their_order(show, runs, tmp_path):
    first, second = (Path(shutil.copytree(runs / OTHER, tmp_path / name)) for name in ("first", "second"))
    lines = [json.loads(line) for line in (second / "index.jsonl").read_text().splitlines()]
    for line in lines:
        if line["name"].startswith("top9/"):
            line["sheet"]["maps"] = [map_ + 1 for map_ in line["sheet"]["maps"]]
    (second / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_page(second)
    page = show(first, "#layer=conv1&epoch=2&beside=run:second")
    expect(page.locator("#tally")).to_contain_text("it shows other maps")
    expect(card(page, 10)).to_contain_text("map 10")
    expect(card(page, 10, side=1)).to_contain_text("map 11")
    card(page, 10, side=1).click()
    expect(page.locator(".panel .when")).to_have_text(["this run, epoch 2", "other run, epoch 2, map 11"])


def test_beside_another_run_stand_the_maps_that_match(show, runs, tmp_path):
    first, second = (Path(shutil.copytree(runs / OTHER, tmp_path / "train" / name)) for name in ("first", "second"))
    job, entries = tmp_path / "match", [json.loads(line) for line in (first / "index.jsonl").read_text().splitlines()]
    grid = next(entry for entry in entries if entry["name"] == "top9/conv1" and entry["epoch"] == 12)
    maps = grid["sheet"]["maps"]
    partners = [map_ + 100 for map_ in reversed(maps)]  # the first map's partner is on the last place
    line = {"kind": "picture", "name": "match/partners/conv1", "path": "grid.jpg", "layer": "conv1"}
    job.mkdir()
    shutil.copy(first / grid["path"], job / "grid.jpg")
    (job / "index.jsonl").write_text(json.dumps(line | {"sheet": grid["sheet"] | {"maps": partners}}) + "\n")
    rows = [f"conv1,{map_},conv1,{map_ + 100},0.8125,{'no' if map_ == maps[1] else 'yes'}" for map_ in maps]
    head = "layer,map,layer of the other,map of the other,correlation,recurs"
    (job / "tables/match").mkdir(parents=True)
    (job / "tables/match/pairs.csv").write_text("\n".join([head, *rows]) + "\n")
    nets = [{"name": run.name, "run": f"../train/{run.name}"} for run in (first, second)]
    (job / "summary.json").write_text(json.dumps({"job": "match", "finished": True, "matched": nets}))
    note = {"folder": "../../match", "job": "match", "when": "2026-01-05 10:00"}
    (first / "looked_at.jsonl").write_text(json.dumps(note) + "\n")
    page = show(first, "#layer=conv1&epoch=2&beside=run:second")
    expect(page.locator("#tally")).to_contain_text("each map's match there")
    for map_, words in ((maps[0], "r 0.81"), (maps[1], "r 0.81, as shuffled")):
        expect(card(page, map_, side=1).locator("b")).to_have_text(f"map {map_ + 100}")
        expect(card(page, map_, side=1).locator(".when")).to_have_text(f"other run, {words}")
    page.locator("#epoch").fill("63")
    at_epoch(page, maps[0], 12)
    cards = label(page, maps[0]), label(page, maps[-1], side=1)  # whose partner is on the tile of maps[0]
    ours, same_tile = (np.median(screen(tiles).reshape(-1, 3), axis=0) for tiles in cards)
    assert np.abs(ours - same_tile).max() < 12
    card(page, maps[0], side=1).click()
    expect(page.locator(".panel .when")).to_have_text(["this run, epoch 12", f"other run, map {maps[0] + 100}, r 0.81"])
    expect(page.locator("#otherstrip")).to_be_hidden()  # matches have no epochs
    page.go_back()
    page.locator(".layers").get_by_role("button", name="conv2").click()
    expect(page.locator("#tally")).to_contain_text("type python src/run.py job=match 'ckpt=[train/first,train/second]'")


@pytest.mark.slow
def test_a_long_run_stays_light(runs):
    """64 epochs, 5 layers, 16 maps: 92160 tiles."""
    report = runs / LONG / "report"
    assert (report / "data.js").stat().st_size < 300_000
    scripts = list((report / "atlas").iterdir())
    assert len(scripts) == 5 and max(script.stat().st_size for script in scripts) < 400_000
    assert len(list((runs / LONG).rglob("*.webp"))) < 800
