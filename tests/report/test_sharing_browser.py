"""Presenting, printing and saving in a real browser, and the page in one file, which asks for no other."""

import io
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from convscope.cli.exports.job import export_run
from convscope.cli.exports.plan import ExportConfig
from convscope.report.one_file import one_file
from convscope.report.page import write_page
from report.long_run import color, long_run
from report.on_screen import on_paper, screen

pytestmark = pytest.mark.slow
A4 = 595, 842  # 1/72 inch


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    folder = long_run(tmp_path_factory.mktemp("shared") / "o'brien's run", 3, 2, 4)
    write_page(folder)
    return folder


@pytest.fixture
def at_map(opened, short_run):
    page = opened(short_run / "report/index.html", "#layer=conv2&epoch=3&map=10")
    expect(page.locator("#maptitle")).to_have_text("conv2 map 10")
    return page


def test_a_presentation_by_the_keyboard(at_map):
    page = at_map
    page.locator("#maptitle").focus()
    page.keyboard.press("p")
    stage = page.get_by_role("dialog", name="conv2 map 10")
    expect(stage.locator(".when")).to_have_text("epoch 3")
    box = stage.bounding_box()
    assert (box["width"], box["height"]) == tuple(page.evaluate("[innerWidth, innerHeight]"))
    middle = screen(stage.locator("canvas").first)
    assert np.abs(middle - color(2, 10, False)).sum(2).min() < 24
    page.keyboard.press("ArrowLeft")
    expect(stage.locator(".when")).to_have_text("epoch 2")
    page.keyboard.press("j")
    expect(page.locator("#stage h2")).to_have_text("conv2 map 17")
    assert float(re.sub("px", "", stage_size(page))) > 30
    page.keyboard.press("Escape")
    expect(page.locator("#stage")).to_have_count(0)
    assert page.url.endswith("#layer=conv2&epoch=2&map=17")  # the map stays open
    assert page.evaluate("document.activeElement.id") == "maptitle"
    page.get_by_role("button", name="present").click()
    page.get_by_role("button", name="leave").click()
    expect(page.locator("#stage")).to_have_count(0)


def stage_size(page):
    return page.locator("#stage .when").evaluate("element => getComputedStyle(element).fontSize")


def told_words(page):
    """The words of the command that "save tiles" names on a page from disk, as a shell reads them."""
    page.get_by_role("button", name="save tiles").click()
    return shlex.split(page.locator(".saves .note code").first.text_content())


def test_the_buttons_of_a_page_from_disk_lead_to_the_file_and_the_command(at_map, short_run, tmp_path, opened):
    page = at_map
    words = ["job=export", f"run={short_run}", "export.what=film", "export.layer=conv2", "export.map=10"]
    assert told_words(page) == words
    note = page.locator(".saves .note").first
    href = note.get_by_role("link", name="The file with all maps of conv2").get_attribute("href")
    assert (short_run / "report" / href).is_file()
    with page.expect_download() as saved:
        page.get_by_role("button", name="save Loss as svg").click()
    text = saved.value.path().read_text()
    assert saved.value.suggested_filename == "Loss.svg" and "<svg" in text and "stroke: rgb(" in text
    single = tmp_path / "single"
    shutil.copytree(short_run, single)
    lines = [line for line in (single / "index.jsonl").read_text().splitlines() if '"epoch": 1,' in line]
    (single / "index.jsonl").write_text("\n".join(lines) + "\n")
    write_page(single)
    page.goto("about:blank")
    opened(single / "report/index.html", "#layer=conv2&map=10")
    words = told_words(page)  # a film or a poster of one map needs several epochs
    assert words == ["job=export", f"run={single}", "export.what=poster", "export.layer=conv2"]
    export_run(single, ExportConfig(what="poster", layer="conv2", format="svg"))


def test_a_print_is_a4_and_has_no_controls(at_map):
    page = at_map
    content = page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert boxes and {tuple(round(float(side)) for side in box) for box in boxes} == {A4}
    on_paper(page)
    for control in ("#play", "#present", "#back", "nav", "#theme", ".saves >> nth=0", "#compare"):
        expect(page.locator(control)).to_be_hidden()
    expect(page.locator("#maptitle")).to_be_visible()


def test_a_print_has_the_pictures_that_were_never_scrolled_to(page, opened, short_run):
    page.set_viewport_size({"width": 1280, "height": 200})
    opened(short_run / "report/index.html", "#layer=conv2&epoch=3")
    expect(page.locator("#tiles canvas")).to_have_count(8)
    expect(page.locator("#growth img")).to_have_count(0)  # it is far below: looking at the page loads it only there
    with Image.open(short_run / "pictures/evolution/conv2.jpg") as growth:
        assert growth.size in picture_sizes(page.pdf())
    page.goto("about:blank")
    opened(short_run / "report/index.html", "#layer=conv2&epoch=3&map=10")
    expect(page.locator("#strip canvas[data-drawn]")).to_have_count(3)
    assert page.locator("#strip").bounding_box()["y"] > 300


def picture_sizes(pdf):
    """Width and height of each picture in a pdf file."""
    return {tuple(map(int, size)) for size in re.findall(rb"/Width (\d+)\s*/Height (\d+)", pdf)}


def test_one_file_alone_asks_for_no_other_and_saves_its_tiles(page, opened, short_run, tmp_path):
    html, _ = one_file(short_run, 10_000_000)
    (tmp_path / "alone").mkdir()
    path = tmp_path / "alone/x.html"
    path.write_bytes(html)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    opened(path, "#layer=conv2&epoch=2&map=10")
    expect(page.locator("#maptitle")).to_have_text("conv2 map 10")
    expect(page.locator("#strip canvas[data-drawn]")).to_have_count(3)
    assert {url.partition("#")[0] for url in requests if not url.startswith("data:")} == {path.as_uri()}
    with page.expect_download() as saved:
        page.get_by_role("button", name="save tiles").click()
    image = Image.open(io.BytesIO(saved.value.path().read_bytes()))
    assert image.width > image.height > 2 * 56 and saved.value.suggested_filename == "conv2_map10_epoch2.png"
    left, right = np.array_split(np.asarray(image.convert("RGB")).astype(int), 2, axis=1)
    for half, patch in ((left, False), (right, True)):
        assert np.median(np.abs(half - color(2, 10, patch)).sum(2)) < 24
    page.get_by_role("button", name="conv1").click()
    expect(page.locator("#tiles a")).to_have_count(4)
