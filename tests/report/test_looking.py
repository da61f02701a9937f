"""The page of a looking job in a real browser, opened from disk."""

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from playwright.sync_api import expect

from convscope.report.page import write_page
from convscope.runs.record import Picture, Record
from report.analyses import ATTACK, concluded, drawing

CONTRAST = """element => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (color) => {
    const [r, g, b] = parts(color).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  let under = element;
  while (parts(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
  const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(under).backgroundColor)];
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
}"""  # WCAG 2.2: relative luminance and contrast ratio


def test_links_of_the_bar_lead_to_each_section(show, looked_run):
    page = show(looked_run)
    links = page.locator("nav a:visible")
    names = "Rules,Receptive fields,Invariance,Diagnosis,Occlusion,Correspondence,Neighbors,Claims,More,Run"
    assert links.all_inner_texts() == names.split(",")
    for name, section in [("Occlusion", "occlusion"), ("Claims", "claims"), ("Rules", "rules")]:
        page.get_by_role("link", name=name, exact=True).click()
        assert page.url.endswith(f"#{section}")
        expect(page.locator(f"#{section} h2")).to_be_in_viewport()


def test_a_link_to_a_section_opens_there(show, looked_run):
    page = show(looked_run, "#neighbors")
    expect(page.locator("#neighbors h2")).to_be_in_viewport()
    assert page.url.endswith("#neighbors")


def test_on_a_training_page_links_keep_what_is_shown(show, finished_run, add_picture):
    add_picture(finished_run, "occlusion/fox", "where the fox is")
    page = show(finished_run, "#layer=conv3&epoch=2")
    page.get_by_role("link", name="Occlusion").click()
    expect(page.locator("#occlusion h2")).to_be_in_viewport()
    assert page.url.endswith("#layer=conv3&epoch=2")
    assert page.evaluate("document.activeElement.id") == "occlusion"


def test_pictures_open_at_full_size_and_never_stand_wider_than_they_are(show, looked_run):
    page = show(looked_run)
    for image in page.locator("figure.plate img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("async (it) => { await it.decode(); return it.width <= it.naturalWidth; }")
        assert image.get_attribute("loading") == "lazy"
        assert image.get_attribute("alt")
    with page.context.expect_page() as opened:
        page.get_by_role("img", name=re.compile("covered")).click()
    assert unquote(opened.value.url).endswith("pictures/occlusion/fox.jpg")


def test_words_of_others_stay_words(show, looked_run):
    page = show(looked_run)
    expect(page.locator("#occlusion figcaption").nth(0)).to_have_text("a fox, \"covered\" & 'seen'")
    expect(page.locator("#occlusion figcaption").nth(1)).to_have_text(f"</figcaption>{ATTACK}")
    page.locator("#occlusion summary").click()
    expect(page.locator("#occlusion td").nth(5)).to_have_text(ATTACK)


def test_a_long_table_is_folded_and_scrolls_by_keyboard(show, looked_run):
    page = show(looked_run)
    fold = page.get_by_text("Images, 60 rows")
    box = page.locator("#occlusion .tall")
    expect(box).to_be_hidden()
    fold.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert box.evaluate("it => it === document.activeElement && it.scrollHeight > it.clientHeight")
    page.keyboard.press("End")
    expect(box.locator("tr").last).to_be_in_viewport()


def test_verdicts_are_said_in_words_with_a_mark_for_the_eye(show, looked_run):
    cells = show(looked_run).locator("#claims td.verdict")
    assert [" ".join(text.split()) for text in cells.all_inner_texts()] == [
        "✓ holds", "✗ does not hold", "? not enough data",
    ]  # fmt: skip
    expect(cells.locator("i").first).to_have_attribute("aria-hidden", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(show, page, looked_run, scheme):
    page.emulate_media(color_scheme=scheme)
    show(looked_run)
    page.locator("#occlusion summary").click()
    page.locator("#invariance summary").click()
    for chosen in [".look", "code", ".source", ".idea .note", ".found dt", ".found small", "figcaption", ".tall th",
                   ".verdict.holds", ".verdict.does-not-hold", ".verdict.not-enough-data", ".verdict i"]:  # fmt: skip
        for element in page.locator(chosen).all():
            assert element.evaluate(CONTRAST) >= 4.5, chosen


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(show, page, looked_run, width):
    page.set_viewport_size({"width": width, "height": 740})
    show(looked_run)
    page.locator("#occlusion summary").click()
    page.locator("#run").scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("figure.plate img").evaluate_all(
        "all => all.every((it) => it.width <= it.getAttribute('width'))"
    )
    sentence = page.locator("#claims td.prose").first
    assert sentence.bounding_box()["width"] < width


def test_everything_stands_there_without_scripts(browser, looked_run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(write_page(looked_run).as_uri())
    assert page.locator("section.idea:visible").count() == 9
    assert page.locator("noscript p").count() == 0  # nothing is missing
    page.locator("figure.plate img").first.scroll_into_view_if_needed()
    expect(page.locator("figure.plate img").first).to_have_js_property("complete", True)
    context.close()


def test_a_page_of_300_pictures_loads_those_near_the_window(show, page, tmp_path):
    record, requested = Record(tmp_path), []
    grain = drawing(900, 400)
    for number in range(300):
        record.add(Picture(f"occlusion/{number}", grain, f"image {number}"))
    concluded(tmp_path, record)
    page.on("request", lambda request: requested.append(Path(unquote(urlparse(request.url).path))))
    show(tmp_path)
    expect(page.locator("figure.plate img").first).to_have_js_property("complete", True)
    page.wait_for_timeout(300)  # in which it would ask for more
    pictures = [path for path in requested if path.suffix == ".jpg"]
    assert 0 < len(pictures) < 20
    assert pictures[0].stat().st_size > 100_000
    assert sum(path.stat().st_size for path in requested if path.is_file()) < 2_000_000
