"""The thumbnails of each layer's strongest maps at the head of the page."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from safetensors.numpy import load_file

from convscope.report.atlas import THUMBNAIL_MAPS, build_atlas, write_thumbnails
from convscope.report.page import write_page
from convscope.runs.reading import read_run
from report import on_screen
from report.long_run import color
from report.on_screen import LONG, OTHER

pytestmark = pytest.mark.slow


def test_the_strongest_shown_maps_each_with_a_patch_and_its_projection(runs):
    thumbnails = write_thumbnails(runs / LONG, build_atlas(read_run(runs / LONG)), runs / LONG / "report")
    scores = load_file(runs / LONG / "top9" / "epoch_064.safetensors")
    for number in range(1, 6):
        row, best = thumbnails[f"conv{number}"], scores[f"conv{number}.score"][on_screen.MAPS, 0]
        strongest = np.sort(best)[::-1][:THUMBNAIL_MAPS]
        chosen = scores[f"conv{number}.score"][row.maps, 0]
        np.testing.assert_allclose(chosen, strongest, rtol=1e-3)  # the page's scores have four digits
        picture = np.asarray(Image.open(runs / LONG / "report" / row.source)).astype(int)
        tiles = np.split(picture, 2 * THUMBNAIL_MAPS, axis=1)
        for place, map_ in enumerate(row.maps):
            for tile, patch in zip(tiles[2 * place : 2 * place + 2], (True, False), strict=True):
                middle = np.median(tile.reshape(-1, 3), axis=0)
                assert np.abs(middle - color(number, map_, patch)).max() < 12  # a jpeg's color


def test_a_damaged_grid_is_left_out_and_the_page_is_written(runs, tmp_path):
    folder = shutil.copytree(runs / OTHER, tmp_path / "damaged")
    (folder / "pictures/top9/conv2/epoch_012.webp").write_bytes(b"no picture")
    text = write_page(folder).read_text()
    linked = set(re.findall(r'href="#layer=(conv\d)&amp;map=', text))
    assert linked == {"conv1", "conv3"}


def test_a_thumbnail_leads_to_its_map(open_long_run):
    page = open_long_run()
    link = page.locator("tr[data-layer=conv4] .glance a").nth(2)
    name = link.get_attribute("aria-label").split(":")[0]
    link.click()
    expect(page.locator("#maptitle")).to_have_text(name)
    expect(page.locator("#maptitle")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#map")).to_be_hidden()
    assert json.loads(page.evaluate("JSON.stringify(state.layer)")) == "conv4"
