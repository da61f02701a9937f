"""What the atlas shows, found on its page and read back from the screen."""

import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import expect

LONG, OTHER = "2026-01-02_03-04-05-000000_long", "2026-01-03_03-04-05-000000_short"
MAPS = [3 + 7 * place for place in range(16)]  # those of the long run


def screen(locator) -> np.ndarray:
    """What the screen shows of an element: [height, width, 3]."""
    locator.scroll_into_view_if_needed()
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


A4 = 718, 1032  # of a sheet within its margins, in pixels of a page


def on_paper(page, side=A4[0]):
    """Lays the page out as on a sheet of this width: it must fit, and be on white."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": side, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= side
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def card(page, map_, side=0):
    return page.locator(f"#tiles a[data-map='{map_}']").nth(side)


def label(page, map_, side=0):
    return card(page, map_, side).locator("canvas.projections")


def at_epoch(page, map_, epoch, side=0):
    expect(label(page, map_, side)).to_have_attribute("aria-label", re.compile(rf"map {map_},.* epoch {epoch}, "))


def order(page):
    return [int(link.get_attribute("data-map")) for link in page.locator("#tiles a").all()]
