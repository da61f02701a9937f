"""The page of a run that goes on, in a real browser, from disk: it follows the run, and what is looked at stays."""

import json
import re
import threading
import time

import pytest
from playwright.sync_api import expect

from conftest import convscope
from convscope.report.page import write_page
from convscope.runs.heartbeat import PREFIX, STATUS, Heartbeat, RunStatus
from report.long_run import long_run
from report.on_screen import at_epoch


@pytest.fixture
def going(tmp_path):
    """going(epochs) is the folder of a run that has come so far, with its page and a status that says it goes on."""
    folder = tmp_path / "2026-01-02_03-04-05-000000_going"
    heart = Heartbeat(folder)

    def at(epochs):
        if epochs:
            long_run(folder, epochs, 2, 4)
            summary = json.loads((folder / "summary.json").read_text())
            (folder / "summary.json").unlink()
            (folder / "about.json").write_text(
                json.dumps({key: summary[key] for key in ("job", "name", "net", "classes")})
            )
        heart.start(6) if heart.status is None else None
        heart.resume(epochs)
        write_page(folder)
        heart.write()
        return folder

    at.heart = heart
    yield at
    heart.end({"finished": True})


def page_of(folder):
    return folder / "report" / "index.html"


def state(page):
    return page.locator(".subtitle .state")


def poll(page):
    """What the page does every few seconds."""
    page.evaluate("follow()")


def test_epochs_come_in_by_themselves_and_what_is_looked_at_stays(opened, going):
    page = opened(page_of(going(2)), "#layer=conv2&epoch=2&map=10")
    expect(state(page)).to_have_text("running, epoch 3 of 6")
    page.evaluate("window.sameDocument = true")
    page.locator("#training details summary").click()
    page.locator("#strip").scroll_into_view_if_needed()
    expect(page.locator("#strip canvas[data-drawn]")).to_have_count(2)
    before = page.locator("#strip").bounding_box()["y"]
    going(4)
    poll(page)
    expect(state(page)).to_have_text("running, epoch 5 of 6")
    expect(page.locator("#shown")).to_have_text("epoch 4")  # it stood at the last one
    assert page.url.endswith("#layer=conv2&epoch=4&map=10")
    expect(page.locator("#maptitle")).to_have_text("conv2 map 10")
    expect(page.locator("#strip canvas[data-drawn]")).to_have_count(4)
    expect(page.locator("#epoch")).to_have_attribute("max", "3")
    assert abs(page.locator("#strip").bounding_box()["y"] - before) < 2
    assert page.locator("#training details").evaluate("(details) => details.open")
    assert page.locator("#training tbody tr").count() == 4
    expect(page.locator("#training .chart").first.locator(".readout")).to_contain_text("epoch 4")
    assert "epoch 4" in page.locator("#compare").inner_text()
    assert page.evaluate("window.sameDocument")


def test_an_epoch_that_comes_in_during_a_click_takes_nothing_from_it(opened, going):
    page = opened(page_of(going(2)), "#layer=conv2&epoch=2")
    page.set_viewport_size({"width": 400, "height": 800})
    folded = page.locator("#training details")
    folded.locator("summary").click()
    folded.locator(".wide").evaluate("(wide) => { wide.scrollLeft = 150; }")
    page.locator("h1").hover()
    page.mouse.down()
    going(3)
    with page.expect_request_finished(lambda sent: "parts.js" in sent.url):
        page.evaluate("void follow()")
    page.wait_for_timeout(300)
    assert folded.locator("tbody tr").count() == 2
    page.mouse.up()
    expect(folded.locator("tbody tr")).to_have_count(3)
    assert folded.locator(".wide").evaluate("(wide) => wide.scrollLeft") == 150


def test_a_page_at_an_earlier_epoch_stays_there(opened, going):
    page = opened(page_of(going(3)), "#layer=conv1&epoch=2")
    at_epoch(page, 3, 2)
    going(4)
    poll(page)
    expect(page.locator("#epoch")).to_have_attribute("max", "3")
    at_epoch(page, 3, 2)
    expect(page.locator("#shown")).to_have_text("epoch 2")
    page.locator("#epoch").fill("3")
    at_epoch(page, 3, 4)


def test_a_page_that_was_opened_before_the_first_epoch_gets_its_maps_and_ends_with_the_run(opened, going):
    folder = going(0)
    page = opened(page_of(folder))
    expect(state(page)).to_have_text("running, epoch 1 of 6")
    assert "not finished" not in page.locator("header.page").inner_text()
    going(1)
    expect(page.locator("#shown")).to_have_text("epoch 1", timeout=60_000)  # loaded anew: there are maps now
    at_epoch(page, 3, 1)
    long_run(folder, 2, 2, 4)  # with its summary
    write_page(folder)
    going.heart.end({"finished": True})
    expect(page.locator("#shown")).to_have_text("epoch 2", timeout=60_000)
    at_epoch(page, 3, 2)
    assert "not finished" not in page.locator("header.page").inner_text()


def status_of(folder, age, words="running, epoch 3 of 6"):
    status = RunStatus("running", words, 2, 6, None, time.time() - age)._asdict() | {"silent": 120}
    (folder / STATUS).write_text(f"{PREFIX}{json.dumps(status)};\n")


def test_a_killed_run_is_told_and_one_that_goes_on_again_too(opened, going):
    folder = going(2)
    going.heart.end({"finished": False})
    status_of(folder, 3600)
    page = opened(write_page(folder))
    stopped = re.compile(r"^stopped\? The last sign of life was on \d")
    expect(state(page)).to_have_text(stopped)
    status_of(folder, 1800)  # a clock that goes wrong by half an hour: the sign is new all the same
    poll(page)
    expect(state(page)).to_have_text("running, epoch 3 of 6")
    page.evaluate("sign.at -= 121")  # two minutes without another sign
    poll(page)
    expect(state(page)).to_have_text(stopped)


def test_a_failed_run_says_why(opened, going):
    folder = going(2)
    page = opened(page_of(folder))
    summary = {"job": "train", "name": "long", "finished": False, "problem": "the loss became nan"}
    about = json.loads((folder / "about.json").read_text())
    (folder / "summary.json").write_text(json.dumps(about | summary))
    write_page(folder)
    going.heart.end(summary)
    poll(page)
    expect(state(page)).to_have_text("failed after epoch 2 of 6")
    expect(page.locator(".warnings")).to_contain_text("the loss became nan")


@pytest.mark.slow
def test_a_real_run_in_another_process_is_followed(opened, tmp_path):
    """The first line names the page, which is there by then; the epochs come in while the run trains."""
    words = [
        "data.train=20", "data.val=20", "data.image_size=64", "trainer.max_epochs=3", "model.width=0.05",
        "evolution.maps=2", "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path / 'run'}",
    ]  # fmt: skip
    ended = []
    run = threading.Thread(target=lambda: ended.append(convscope(*words, cwd=tmp_path)))
    run.start()
    index = tmp_path / "run" / "report" / "index.html"
    while not index.with_name("data.js").is_file() and run.is_alive():  # the last file of a page
        time.sleep(0.05)
    page = opened(index)
    expect(state(page)).to_have_text(re.compile("^running"))
    expect(page.locator("#shown")).to_have_text("epoch 3", timeout=300_000)
    run.join()
    assert ended[0].returncode == 0, ended[0].stderr
    assert ended[0].stdout.splitlines()[0] == f"page: {index.resolve().as_uri()}"
    expect(page.locator(".subtitle")).not_to_contain_text(re.compile("running|not finished"), timeout=60_000)
