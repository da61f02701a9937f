"""The page in a real browser, opened from disk."""

import re

import pytest
from matplotlib.colors import to_rgb
from playwright.sync_api import expect

from convscope.plots.series import SERIES, layer_style, series_style
from convscope.runs.number_format import percent


def picture(page, place=0):
    return page.locator("#top9 img").nth(place)


def shows(page, stem, place=0):
    expect(picture(page, place)).to_have_attribute("src", f"../pictures/top9/{stem}.jpg")


def test_slider_layers_and_alt_text(show, finished_run):
    page = show(finished_run)
    shows(page, "conv3/epoch_008")  # of five layers the middle one
    page.get_by_role("button", name="conv1").click()
    shows(page, "conv1/epoch_008")
    page.locator("#epoch").fill("2")
    shows(page, "conv1/epoch_003")
    page.get_by_role("button", name="conv3").click()
    shows(page, "conv3/epoch_003")
    assert picture(page).evaluate("image => image.naturalWidth") == 240
    expect(picture(page)).to_have_attribute("alt", re.compile("conv3.*epoch 3"))
    expect(page.locator("#shown")).to_have_text("epoch 3")
    expect(page.locator("#growth img")).to_have_attribute("src", "../pictures/evolution/conv3.jpg")
    expect(page.locator("#filters img")).to_have_attribute("src", "../pictures/filters/conv1/epoch_003.png")
    assert page.url.endswith("#layer=conv3&epoch=3")


def test_a_link_brings_back_what_was_seen(show, finished_run):
    page = show(finished_run, "#layer=conv4&epoch=5&compare=2")
    shows(page, "conv4/epoch_005")
    shows(page, "conv4/epoch_002", place=1)
    page.evaluate("location.hash = 'layer=conv2&epoch=1'")
    shows(page, "conv2/epoch_001")
    expect(picture(page, 1)).to_be_hidden()


@pytest.mark.parametrize("state", ["#layer=%3Cscript%3E&epoch=99&compare=x", "#net", "#=&&"])
def test_a_wrong_link_shows_what_is_shown_at_first(show, finished_run, state):
    shows(show(finished_run, state), "conv3/epoch_008")


def test_shares_beside_curves_are_rounded_as_everywhere_else(show, finished_run):
    shares = [count / 400 for count in range(401)] + [count / 96 for count in range(97)]
    words = show(finished_run).evaluate("shares => shares.map((share) => valueText(share, true))", shares)
    assert words == [percent(share) for share in shares]


def test_compare_with_an_epoch(show, finished_run):
    page = show(finished_run)
    page.locator("#compare").select_option("1")
    shows(page, "conv3/epoch_001", place=1)
    assert page.url.endswith("compare=1")
    page.locator("#compare").select_option("")
    expect(picture(page, 1)).to_be_hidden()


def test_keys_move_the_epoch_and_choose_the_layer(show, finished_run):
    page = show(finished_run, "#layer=conv1&epoch=4")
    page.keyboard.press("ArrowLeft")
    shows(page, "conv1/epoch_003")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    shows(page, "conv1/epoch_005")
    page.keyboard.press("5")
    shows(page, "conv5/epoch_005")
    page.locator("#epoch").focus()
    page.keyboard.press("ArrowRight")  # the slider's own key: one step, not two
    shows(page, "conv5/epoch_006")


def test_play_runs_to_the_end_and_space_starts_it(show, finished_run):
    page = show(finished_run, "#layer=conv2&epoch=6")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")
    shows(page, "conv2/epoch_008")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")
    assert page.url.endswith("#layer=conv2&epoch=8")
    page.locator("#play").click()
    expect(picture(page)).to_have_attribute("src", re.compile("epoch_00[1-3]"))
    page.locator("#play").click()
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")


def test_curves_read_out_the_epoch_of_the_slider_and_of_the_pointer(show, finished_run):
    page = show(finished_run, "#epoch=2")
    shows(page, "conv3/epoch_002")
    loss = page.locator(".chart").first
    loss.scroll_into_view_if_needed()
    for holder in ("growth", "filters"):  # pictures that arrive above a chart would move it away from the pointer
        expect(page.locator(f"#{holder} img")).to_have_attribute("src", re.compile("pictures"))
    expect(loss.locator(".readout")).to_have_text("epoch 2training 1.20validation 1.25")
    expect(loss.get_by_role("img")).to_have_attribute("aria-label", re.compile("training from 2.40 to 0.300"))
    canvas = loss.locator("svg[role=img]")
    width = canvas.bounding_box()["width"]
    canvas.hover(position={"x": width - 90, "y": 60})  # the last epoch, left of the lines' names
    expect(loss.locator(".readout")).to_contain_text("epoch 8")
    canvas.click(position={"x": 46, "y": 60})
    shows(page, "conv3/epoch_001")
    assert page.locator(".chart h3").all_inner_texts()[:3] == ["Loss", "Accuracy", "Top-9 images that stayed"]
    for title, looks in (
        ("Top-9 images that stayed", [layer_style(number, 5) for number in range(5)]),
        ("Loss", [series_style(SERIES[f"{split}/loss"].number) for split in ("train", "val")]),
    ):  # as in the figures
        lines = page.locator(".chart", has=page.get_by_role("heading", name=title)).locator("svg[role=img] path.line")
        strokes = lines.evaluate_all("lines => lines.map((line) => getComputedStyle(line).stroke)")
        assert [re.findall(r"\d+", stroke) for stroke in strokes] == [
            [str(round(255 * part)) for part in to_rgb(look["color"])] for look in looks
        ]


def test_columns_that_the_page_does_not_know_are_drawn_with_those_of_their_kind(show, finished_run):
    """Every cell of metrics.csv can be read out of a chart; shares in percent, other numbers as they are."""
    new = {
        "train/mean_ap": 0.75, "val/mean_ap": 0.5, "val/nll": 0.4, "margin/conv1": -1.5, "margin/conv2": 3e-7,
        "gradient_norm": 12.5, "field/conv1": 0.5, "cka/conv2": 0.25, "<img src=x onerror=alert(1)>": 123456.0,
        "never": "",
    }  # fmt: skip
    with_columns(finished_run, new)
    page = show(finished_run)
    readouts = {
        box.locator("h3").inner_text(): box.locator(".readout").inner_text().replace("\n", " ")
        for box in page.locator(".chart").all()
    }
    assert [*readouts][:4] == ["Loss", "Accuracy", "Mean average precision", "Nll"]
    expected = {
        "Mean average precision": ["training 75.0 %", "validation 50.0 %"], "Nll": ["validation 0.400"],
        "Margin": ["conv1 -1.50", "conv2 3.00e-7"],
        "Share of the receptive field's side that holds 95 % of the gradient": ["conv1 50.0 %"],
        "Linear CKA with the drawn epoch before": ["conv2 0.250"], "Gradient norm": ["gradient norm 12.5"],
        "<img src=x onerror=alert(1)>": ["123456"], "Learning rate": ["0.0100"], "Seconds an epoch took": ["12.5"],
    }  # fmt: skip
    for title, words in expected.items():
        assert all(word in readouts[title] for word in words), (title, readouts[title])
    assert "Never" not in readouts
    axes = page.locator(".chart", has_text="Mean average precision").locator("text")
    assert {"100 %", "0 %", "epoch"} <= set(axes.all_text_contents())
    page.locator("#epoch").fill("2")
    expect(page.locator(".chart", has_text="Gradient norm").locator(".readout")).to_contain_text("epoch 3")


def with_columns(folder, new):
    """Adds columns to metrics.csv: each value is text for all epochs, or a function of the epoch."""
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    cells = [[str(value(at) if callable(value) else value) for value in new.values()] for at in range(1, 1 + len(rows))]
    lines = [",".join([header, *new]), *(",".join([row, *more]) for row, more in zip(rows, cells, strict=True))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def height_of_line(box, number=0):
    """The share of a chart's height that one of its lines takes."""
    points = box.locator("svg[role=img] path.line").nth(number).get_attribute("d").removeprefix("M").split("L")
    heights = [float(point.split()[1]) for point in points]
    return (max(heights) - min(heights)) / 230


def test_a_measure_of_the_users_own_is_drawn_in_a_scale_of_its_own(show, finished_run):
    """A metric in [0, 1], one far from 0, one that is negative, and two of one callback with other units."""
    new = {
        "val/gini": lambda epoch: 0.1 * epoch, "temperature": lambda epoch: 300 + 0.1 * epoch,
        "log_odds": lambda epoch: -40 - 0.2 * epoch, "gpu/bytes": lambda epoch: 2e9 * epoch,
        "gpu/celsius": lambda epoch: 30 + 5 * epoch, "depth/conv1": lambda epoch: epoch, "depth/conv2": 0.001,
    }  # fmt: skip
    with_columns(finished_run, new)
    page = show(finished_run)
    boxes = {box.locator("h3").inner_text(): box for box in page.locator(".chart").all()}
    titles = {"Gini", "Temperature", "Log odds", "Gpu: bytes", "Gpu: celsius", "Depth"}
    assert titles <= set(boxes)
    assert all(height_of_line(boxes[title]) > 0.3 for title in titles)
    readouts = {title: boxes[title].locator(".readout").inner_text().replace("\n", " ") for title in titles}
    assert readouts["Gini"] == "epoch 8 validation 0.800" and "temperature 300.80" in readouts["Temperature"]
    assert "celsius 70.0" in readouts["Gpu: celsius"] and "conv2 0.00100" in readouts["Depth"]
    levels = {title: boxes[title].locator("text[text-anchor=end]").all_text_contents() for title in titles}
    assert "0" in levels["Gini"] and "300.2" in levels["Temperature"] and "-41" in levels["Log odds"]
    left = boxes["Temperature"].locator("svg[role=img]").bounding_box()["x"]
    assert all(text.bounding_box()["x"] >= left for text in boxes["Temperature"].locator("text").all())  # none cut off


def test_dark_follows_the_system_until_clicked_and_then_stays(show, page, finished_run):
    page.emulate_media(color_scheme="dark")
    show(finished_run)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_phone_needs_no_sideways_scrolling(show, page, finished_run):
    page.set_viewport_size({"width": 360, "height": 740})
    show(finished_run)
    shows(page, "conv3/epoch_008")
    page.locator("#run").scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_pictures_load_as_needed(show, page, finished_run):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    with page.expect_request(lambda request: "conv1/epoch_002" in request.url):
        show(finished_run, "#layer=conv1&epoch=1")
    shows(page, "conv1/epoch_001")
    page.wait_for_timeout(200)  # in which it would ask for more
    pictures = [url for url in requests if "/pictures/top9/" in url]
    assert 1 < len(pictures) <= 5  # this one and the next few of the same layer
    assert all("/conv1/" in url for url in pictures)


def test_a_script_in_a_name_is_only_a_name(show, finished_run, add_picture):
    name = "<img src=x onerror=alert(1)>"
    add_picture(finished_run, "top9/odd", "</script><script>alert(1)</script>\u2028", 8, name)
    page = show(finished_run)
    page.get_by_role("button", name=name).click()
    shows(page, "odd/epoch_008")
    expect(page.locator("#top9 figcaption").first).to_contain_text("</script><script>alert(1)</script>")


def test_a_run_without_epochs_has_no_slider(show, pictures_run):
    page = show(pictures_run)
    shows(page, "features.0")
    expect(page.locator("#epoch")).to_be_hidden()
    expect(page.locator("#training")).to_be_hidden()
    page.get_by_role("button", name="features.3").click()
    shows(page, "features.3")
    page.keyboard.press("Space")  # nothing to play


def test_plots_stand_in_where_there_are_no_numbers(show, tmp_path, add_picture):
    add_picture(tmp_path, "settling", "Do the lower layers settle first?", form="png")
    page = show(tmp_path)
    expect(page.locator(".plots img")).to_have_attribute("src", "../pictures/settling.png")


def test_the_first_epoch_of_a_run(show, unfinished_run):
    lines = (unfinished_run / "metrics.csv").read_text().splitlines()
    (unfinished_run / "metrics.csv").write_text("\n".join(lines[:2]) + "\n")
    page = show(unfinished_run)
    titles = page.locator(".chart h3").all_inner_texts()  # nothing to compare yet
    assert titles == [
        "Loss", "Accuracy", "Dead maps", "Learning rate", "Seconds an epoch took", "Training images a second",
    ]  # fmt: skip
    expect(page.locator(".subtitle")).to_contain_text("not finished")
