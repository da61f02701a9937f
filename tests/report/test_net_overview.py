"""The net as a picture, in a real browser: its rows, and the squares of pixels that their middle units see."""

import json
import re

import pytest
from playwright.sync_api import expect

from convscope.report.page import write_page
from report.long_run import FIELDS, INPUT, SIDES, long_run

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def looked_inside(tmp_path_factory):
    return long_run(tmp_path_factory.mktemp("net") / "run", 1, 5, 2)


def change_rows(folder, change):
    """Rewrites the rows of summary.json by change(rows)."""
    summary = json.loads((folder / "summary.json").read_text())
    change(summary["net"]["rows"])
    (folder / "summary.json").write_text(json.dumps(summary))


def squares(page):
    """x, y, width, height of every square on the picture."""
    names = "['x', 'y', 'width', 'height']"
    return page.locator(".seen .square").evaluate_all(
        f"all => all.map(each => {names}.map(name => Number(each.getAttribute(name))))"
    )


def test_squares_of_all_convolutions_at_the_middle_unit(show, looked_inside):
    page = show(looked_inside)
    expected = []
    for (size, stride, start), side in zip(FIELDS, SIDES, strict=True):
        middle = (side - 1) // 2
        expected.append([start + stride * middle, start + stride * middle, size, size])
    assert squares(page) == expected
    assert page.locator(".seen text").all_text_contents() == [f"conv{number}" for number in range(1, 6)]
    expect(page.locator(".seen > svg")).to_have_attribute("aria-label", re.compile("conv1 7 pixels, conv2 27 pixels"))


def test_the_first_thumbnail_lies_under_them(show, looked_inside):
    page = show(looked_inside)
    page.locator("#net").scroll_into_view_if_needed()
    image = page.locator(".seen image")
    expect(image).to_have_attribute("href", "../pictures/images/0/epoch_001.webp")
    place = page.locator(".seen .picture > svg")
    assert [place.get_attribute(name) for name in ("width", "height", "viewBox")] == [
        str(INPUT),
        str(INPUT),
        "0 0 112 112",
    ]


def test_a_row_pointed_at_focused_or_pressed_shows_its_own(show, looked_inside):
    page = show(looked_inside)
    box = page.get_by_role("switch", name="what conv3 sees")
    caption = page.locator(".sees figcaption")
    box.hover()
    expect(caption).to_have_text("conv3: a unit sees 59 × 59 of the 96 × 96 pixels, 61 % of its side.")
    assert page.locator(".seen .squares > g:not(.faint)").count() == 1
    page.locator("#net h2").hover()
    expect(caption).to_contain_text("each convolution")
    page.locator("table.net tr", has_text="conv5").hover()
    expect(caption).to_contain_text("123 × 123 of the 96 × 96 pixels, more than the image has")
    box.click()
    page.locator("#net h2").hover()
    expect(caption).to_contain_text("conv3")
    expect(box).to_have_attribute("aria-checked", "true")
    page.keyboard.press("Tab")
    expect(caption).to_contain_text("conv4")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(caption).to_have_text("fc8: every unit sees the whole image.")
    assert [0, 0, INPUT, INPUT] in squares(page)


def test_a_tap_does_so_too(browser, looked_inside):
    with browser.new_context(has_touch=True, viewport={"width": 360, "height": 740}) as phone:
        page = phone.new_page()
        page.goto(write_page(looked_inside).as_uri())
        page.get_by_role("switch", name="what conv2 sees").tap()
        expect(page.locator(".sees figcaption")).to_contain_text("conv2: a unit sees 27 × 27")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_an_older_run_has_squares_in_the_middle_of_an_empty_frame(show, finished_run):
    page = show(finished_run)  # no atlas, no start
    assert squares(page)[0] == [28.5, 28.5, 7, 7]
    assert page.locator(".seen .mesh").count() == 14
    assert page.locator(".seen image").count() == 0


def test_boxes_are_as_high_as_maps_have_places(show, finished_run):
    page = show(finished_run)
    heights = page.locator(".rowbox i").evaluate_all("all => all.map(each => each.offsetHeight)")
    assert heights == [pytest.approx(max(3, 200 * side / 64), abs=1) for side in (64, 31, 16, 6, 4, 1)]


def test_names_stand_apart_and_far_squares_are_cut_off(show, finished_run):
    """A deep net: many fields of almost one size, and one far larger than the image."""
    deep = [
        {"name": f"conv{at}", "kind": "conv", "maps": 8, "side": 64, "field": 3 + 2 * at, "stride": 1}
        for at in range(14)
    ] + [{"name": "last", "kind": "conv", "maps": 8, "side": 2, "field": 500, "stride": 32, "start": -240}]
    change_rows(finished_run, lambda rows: rows.__setitem__(slice(None), deep))
    page = show(finished_run)
    boxes = page.locator(".seen text").evaluate_all("all => all.map(each => each.getBoundingClientRect().toJSON())")
    heights = sorted(box["top"] for box in boxes)
    assert all(low + 8 <= high for low, high in zip(heights, heights[1:], strict=False))
    canvas = page.locator(".seen > svg").bounding_box()
    assert all(box["right"] <= canvas["x"] + canvas["width"] + 1 for box in boxes)
    assert all(box["bottom"] <= canvas["y"] + canvas["height"] + 1 for box in boxes)


def test_a_script_in_a_row_is_only_a_name(show, finished_run):
    change_rows(finished_run, lambda rows: rows[0].update(name=ATTACK, kind='conv" onclick="alert(1)'))
    change_rows(finished_run, lambda rows: rows[2].update(name=ATTACK))
    page = show(finished_run)
    expect(page.locator(".rowbox b", has_text=ATTACK)).to_have_count(2)
    expect(page.locator(".seen text", has_text=ATTACK[-19:])).to_have_count(1)  # long names lose their beginning


def test_rows_that_say_little_give_a_table_and_no_picture(show, finished_run):
    change_rows(
        finished_run, lambda rows: rows.__setitem__(slice(None), [{"name": "a"}, {"name": "b", "field": "7 x 9"}])
    )
    page = show(finished_run)
    expect(page.locator("table.net")).to_contain_text("7 x 9")


def test_the_table_needs_no_script(browser, finished_run):
    with browser.new_context(java_script_enabled=False) as plain:
        page = plain.new_page()
        page.goto(write_page(finished_run).as_uri())
        expect(page.locator("table.net")).to_contain_text("75 px")
        expect(page.locator(".rowbox").first).to_be_visible()
        expect(page.locator(".sees")).to_be_hidden()
