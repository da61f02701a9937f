"""The page of a sweep: its files, and in a real browser, opened from disk."""

import json
import multiprocessing
import os
import re

import pytest
from playwright.sync_api import expect

from conftest import ROOT, python
from convscope.cli import recording
from convscope.cli.recording import finish_with_summary
from convscope.errors import UserError
from convscope.report.sweep import write_sweep_page
from convscope.runs.record import Record
from report.on_screen import A4, on_paper
from report.sweeps import ATTACK, run, with_page

FACTS = {"job": "train", "name": "a", "seed": 0}
TOPS = {"0_low": 0.25, "1_high": 0.75, "2_middle": 0.5}


@pytest.fixture
def sweep(tmp_path):
    """Three runs of other learning rates, with pages, one that failed, and one that is still running."""
    folder = tmp_path / "2026-01-02_03-04-05-000000_rates"
    for number, (name, top1) in enumerate(TOPS.items()):
        with_page(run(folder / name, top1, lr=0.1 + number, epochs=4))
    run(folder / "3_nan", 0.1, lr=9.0, epochs=1, wanted=4, state="failed", problem=f"the loss became nan {ATTACK}")
    run(folder / "4_going", 0.3, lr=0.01, epochs=2, wanted=4, state="running")
    return folder


@pytest.fixture
def look(show, page):
    """look(folder, hash) opens the page of a sweep; as `show` does for a run, it lets nothing go wrong."""

    def opened(folder, state=""):
        page.goto(write_sweep_page(folder).as_uri() + state)
        page.wait_for_load_state("load")
        return page

    return opened


def data(folder):
    text = (folder / "report" / "data.js").read_text()
    assert text.isascii() and not set("<>&") & set(text)
    return json.loads(text.removeprefix("window.SWEEP = ").removesuffix(";\n"))["runs"]


def order(page):
    """The numbers of the runs from the top to the bottom of the table."""
    return [int(text) for text in page.locator("#table tbody .number").all_inner_texts()]


def ticked(page):
    return page.evaluate("[...document.querySelectorAll('#table input')].filter(i => i.checked).length")


def test_curves_of_every_run(sweep):
    write_sweep_page(sweep)
    runs = {run["id"]: run for run in data(sweep)}
    assert list(runs) == [*TOPS, "3_nan", "4_going"]
    columns = runs["1_high"]["columns"]
    assert columns["val/top1"] == [0.1875, 0.375, 0.5625, 0.75]
    assert columns["stayed/conv1"] == [None, 1, 1, 1]  # at first there is nothing to compare with
    assert columns["stayed/conv2"] == [None, 0, 0, 0]
    assert "seconds" not in columns and "val/top5" not in columns
    assert runs["4_going"]["epochs"] == [1, 2]
    assert [run["written"] is not None for run in runs.values()] == [True, True, True, False, False]
    assert sorted(path.name for path in (sweep / "report").iterdir()) == ["data.js", "index.html"]


def test_the_page_of_the_sweep_is_no_run_of_it(sweep):
    write_sweep_page(sweep)
    write_sweep_page(sweep)
    assert [run["id"] for run in data(sweep)] == [*TOPS, "3_nan", "4_going"]
    assert "no run has left anything in it" not in (sweep / "report" / "index.html").read_text()


def test_half_a_line_half_a_summary_and_half_a_config(sweep):
    for name, file in (("0_low", "metrics.csv"), ("1_high", "summary.json"), ("2_middle", ".hydra/config.yaml")):
        text = (sweep / name / file).read_text()
        (sweep / name / file).write_text(text[: len(text) - 60])
    write_sweep_page(sweep)
    columns = {run["id"]: run["columns"] for run in data(sweep)}
    assert columns["0_low"]["val/top1"] == [0.0625, 0.125]  # the third line has no end
    assert len(columns) == 5


def test_a_folder_without_runs_is_refused_and_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"give a sweep's folder, e\.g\. outputs/sweep/<sweep>"):
            write_sweep_page(folder)
    assert list((tmp_path / "empty").iterdir()) == []


def _run_and_write(folder, number):
    run(folder / f"{number}_run", lr=float(number))
    write_sweep_page(folder)


def test_of_several_writers_at_once_the_last_has_seen_all(tmp_path):
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_run_and_write, args=(tmp_path, number)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert [run["id"] for run in data(tmp_path)] == [f"{number}_run" for number in range(8)]
    assert sorted(os.listdir(tmp_path / "report")) == ["data.js", "index.html"]


def test_each_run_of_a_sweep_brings_its_page_up_to_date(tmp_path):
    (tmp_path / "multirun.yaml").write_text("")
    run(tmp_path / "a" / "seed_0", lr=1)  # hydra.sweep.subdir may hold a folder
    with finish_with_summary(Record(run(tmp_path / "a" / "seed_1", lr=2, state="running")), FACTS):
        pass
    assert [run["id"] for run in data(tmp_path)] == ["a/seed_0", "a/seed_1"]
    assert not (tmp_path / "a" / "report").exists()
    text = (tmp_path / "a" / "seed_1" / "report" / "index.html").read_text()
    assert "<h1>a/seed_1</h1>" in text
    assert f'One run of the sweep <a href="../../../report/index.html">{tmp_path.name}</a>' in text


def test_short_runs_leave_the_page_to_the_end_of_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PAGE_SHARE", 1e-6)
    (tmp_path / "multirun.yaml").write_text("")
    for name in "abc":
        with finish_with_summary(Record(run(tmp_path / name, lr=ord(name), state="running")), FACTS):
            pass
    assert [run["id"] for run in data(tmp_path)] == ["a"]
    recording.write_page_of_sweep(tmp_path)
    assert [run["id"] for run in data(tmp_path)] == ["a", "b", "c"]


def test_at_its_end_a_sweep_has_every_run_on_its_page(tmp_path, cache):
    """Also where the last one fails, after which Hydra calls nothing."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "from convscope.cli import recording; recording.PAGE_SHARE = 1e-9\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    tiny = ["data.train=20", "data.val=20", "data.image_size=64", "model.width=0.05", "optim.batch_size=10",
            "trainer.max_epochs=1", "trainer.accelerator=cpu", "data.workers=0", "evolution=off"]  # fmt: skip
    words = ["-m", *tiny, "optim.lr=0.01,0.02,-1", f"data.cache_dir={cache}", f"hydra.sweep.dir={tmp_path}/sweep"]
    ended = python(script, ROOT / "src/run.py", *words, cwd=tmp_path)
    assert ended.returncode == 1 and "optim.lr=-1" in ended.stderr, ended.stderr
    epochs = {run["id"]: len(run["epochs"]) for run in data(tmp_path / "sweep")}
    assert epochs == {"0_zfnet": 1, "1_zfnet": 1, "2_zfnet": 0}
    names = [run["name"] for run in data(tmp_path / "sweep")]
    assert names == ["lr=0.01", "lr=0.02", "lr=-1"]
    for name, folder in zip(names, ["0_zfnet", "1_zfnet"], strict=False):  # the third has not begun a page
        assert f"<h1>{name}</h1>" in (tmp_path / "sweep" / folder / "report/index.html").read_text()


def test_a_sweep_that_trains_nothing_has_no_page_and_no_complaint(tmp_path, capsys):
    (tmp_path / "multirun.yaml").write_text("")
    with finish_with_summary(Record(tmp_path / "0_look"), {**FACTS, "job": "occlude"}):
        pass
    assert not (tmp_path / "report").exists() and "could not be written" not in capsys.readouterr().out


def test_what_cannot_be_written_does_not_fail_the_run(tmp_path, capsys):
    (tmp_path / "multirun.yaml").write_text("")
    (tmp_path / "report").write_text("a file where a folder should be")
    with finish_with_summary(Record(run(tmp_path / "a", state="running")), FACTS):
        pass
    assert f"the page of the sweep {tmp_path.name} could not be written" in capsys.readouterr().out
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["finished"]


def test_a_run_outside_a_sweep_writes_no_other_page(tmp_path):
    with finish_with_summary(Record(run(tmp_path / "a", state="running")), FACTS):
        pass
    assert os.listdir(tmp_path) == ["a"]


def test_a_click_and_a_key_on_a_heading_sort(look, sweep):
    page = look(sweep)
    assert order(page) == [1, 2, 3, 4, 5]
    heading = page.locator("#table th[data-key='val/top1']")
    expect(heading).to_have_attribute("aria-sort", "none")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert order(page) == [2, 3, 5, 1, 4]
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert order(page) == [4, 1, 5, 3, 2]
    page.get_by_role("button", name="optim.lr").press("Space")
    assert order(page) == [5, 1, 2, 3, 4]
    expect(heading).to_have_attribute("aria-sort", "none")


def test_the_address_brings_back_what_was_seen(look, page, sweep):
    look(sweep)
    page.get_by_role("button", name="Tick none").click()
    page.locator("tr[data-run='2_middle'] input").check()
    page.locator("tr[data-run='4_going'] input").check()
    page.get_by_role("button", name="val loss").click()
    before, address = order(page), page.url
    page.goto("about:blank")
    page.goto(address)
    assert order(page) == before
    assert ticked(page) == 2
    expect(page.locator(".legend li")).to_have_count(2)
    look(sweep, "#sort=%3Cscript%3E&order=x&run=nowhere")
    assert ticked(page) == 0
    expect(page.locator("#curves")).to_be_hidden()


def test_curves_lie_over_each_other_and_tell_run_and_value(look, page, sweep):
    look(sweep, "#run=1_high&run=2_middle")
    titles = page.locator(".chart h3").all_inner_texts()
    assert titles == [
        "Validation accuracy, top-1", "Validation loss", "Settling of conv1: top-9 images that stayed",
        "Settling of conv2: top-9 images that stayed", "Dead maps of conv2",
    ]  # fmt: skip
    chart = page.locator(".chart").first
    strokes = chart.locator("path.line").evaluate_all("lines => lines.map(l => l.getAttribute('stroke-dasharray'))")
    assert len(set(strokes[-2:])) == 2  # distinct without color
    canvas = chart.locator("svg[role=img]")
    box = canvas.bounding_box()
    canvas.hover(position={"x": box["width"] - 90, "y": 15})  # the end of the higher line
    expect(chart.locator(".readout")).to_contain_text("lr=1.1")
    expect(chart.locator(".readout b")).to_have_text("75.0 %")
    expect(chart.locator(".readout")).to_contain_text("epoch 4")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    expect(chart.locator(".readout b")).to_have_text("50.0 %")
    page.keyboard.press("ArrowLeft")
    expect(chart.locator(".readout")).to_contain_text("epoch 3")


def test_columns_that_the_page_does_not_know_lie_over_each_other_too(look, page, sweep):
    for name in ("1_high", "2_middle"):
        path = sweep / name / "metrics.csv"
        header, *rows = path.read_text().splitlines()
        names = "val/mean_ap,margin/conv1,train/mean_ap,train/gini,gpu/celsius"
        more = [f"{header},{names}", *(f"{row},0.25,-3,0.5,{at},{300 + 0.1 * at}" for at, row in enumerate(rows))]
        path.write_text("\n".join(more) + "\n")
    look(sweep, "#run=1_high&run=2_middle")
    titles = page.locator(".chart h3").all_inner_texts()
    assert titles[2:6] == ["Validation mean average precision", "Margin of conv1", "Training gini", "Gpu: celsius"]
    assert "300.1" in page.locator(".chart").nth(5).locator("text").all_text_contents()
    chart = page.locator(".chart").nth(2)
    chart.locator("svg[role=img]").focus()
    page.keyboard.press("ArrowLeft")
    expect(chart.locator(".readout b")).to_have_text("25.0 %")


def test_two_ticked_runs_lead_to_their_maps_side_by_side(look, page, sweep):
    os.utime(sweep / "2_middle" / "report" / "data.js", times=(1, 1))  # the older page knows nothing of the newer run
    look(sweep, "#run=2_middle&run=1_high")
    link = page.locator("#compare a")
    expect(link).to_have_attribute("href", "../1_high/report/index.html#beside=run%3A2_middle")
    link.click()
    expect(page).to_have_title("a run")
    look(sweep, "#run=2_middle&run=3_nan")  # that one has no maps
    expect(page.locator("#compare a")).to_have_count(0)


def test_a_run_leads_to_its_own_page(look, page, sweep):
    look(sweep)
    assert page.locator("tbody th a").count() == 3
    page.locator("tbody th a").first.click()
    expect(page).to_have_title("a run")


def test_a_script_in_a_name_is_only_a_name(look, page, tmp_path):
    run(tmp_path / "0_a", 0.5, name=ATTACK, optimizer=ATTACK, lr=1)
    run(tmp_path / "1_b", 0.6, name="</title><img src=x onerror=alert(1)>", optimizer="sgd", lr=2)
    look(tmp_path)
    expect(page.locator("tbody th").first).to_contain_text(ATTACK)
    expect(page.locator(".legend")).to_contain_text(ATTACK)
    expect(page.locator("#table")).to_contain_text(ATTACK)


def test_all_settings_are_shown_when_asked_for(look, page, tmp_path):
    for number in range(3):
        run(tmp_path / f"{number}_a", **{f"key{at}": number for at in range(9)})
    look(tmp_path)
    heading = page.locator("th[data-key='optim.key8']")
    expect(heading).to_be_hidden()
    page.get_by_role("button", name="All 9 settings that differ").click()
    expect(heading).to_be_visible()
    assert "all=1" in page.url
    on_paper(page, A4[1])  # across
    expect(heading).to_be_visible()
    expect(page.get_by_role("button", name="Tick none")).to_be_hidden()
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", page.pdf(prefer_css_page_size=True))
    assert [float(width) > float(height) for width, height in sheets] == [False, True, False]


def test_two_hundred_runs_of_64_epochs(look, page, tmp_path):
    for number in range(200):
        run(tmp_path / f"{number}_run", number / 250, lr=number, epochs=64)
    look(tmp_path)
    assert page.locator("tbody tr").count() == 200
    assert ticked(page) == 6  # the best
    assert page.locator("tbody tr").nth(10).get_attribute("data-run") == "10_run"
    assert sum(path.stat().st_size for path in (tmp_path / "report").iterdir()) < 2e6
    page.get_by_role("button", name="val accuracy, top-1").click()
    page.locator("tbody input").nth(6).check()
    expect(page.locator(".legend li")).to_have_count(7)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(look, page, sweep, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    look(sweep)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    on_paper(page)


def test_the_page_leads_to_the_table_of_the_sweep(sweep):
    assert "The runs compared" not in write_sweep_page(sweep).read_text()
    table = sweep / "table/report"
    table.mkdir(parents=True)
    (table / "index.html").write_text("")
    link = '<a href="../table/report/index.html">table</a>'
    assert link in write_sweep_page(sweep).read_text()
    (sweep / "multirun.yaml").write_text("")
    elsewhere = sweep.parent / "table/2026-02-02_03-04-05-000000_mine"
    with finish_with_summary(Record(elsewhere), {"job": "table", "name": "mine", "sweep": [str(sweep)]}):
        pass
    both = f'{link} · <a href="../../table/{elsewhere.name}/report/index.html">table</a>'
    assert both in (sweep / "report/index.html").read_text()


def test_losses_far_above_the_others_do_not_press_the_curves_together(look, tmp_path):
    for number in range(4):
        run(tmp_path / f"{number}_net", 0.5 + number / 100, lr=0.1 + number, epochs=8)
    path = tmp_path / "0_net/metrics.csv"
    path.write_text(path.read_text().replace("1,1.875,", "1,4000,"))
    chart = look(tmp_path).locator(".chart", has_text="Validation loss")
    lows, highs = [], []
    for line in chart.locator("path.line").all()[-4:]:
        heights = [float(point.split()[1]) for point in line.get_attribute("d").removeprefix("M").split("L")]
        lows.append(heights[-1]), highs.append(min(heights))
    assert max(lows) - min(lows) > 4 and min(highs) < 0  # the ends are told apart; the first loss is outside


@pytest.mark.slow
def test_a_thousand_rows(look, tmp_path):
    for number in range(1000):
        run(tmp_path / f"{number}_net", (number * 37 % 1000) / 1000, lr=0.001 * (number + 1))
    page = look(tmp_path)
    assert order(page)[:3] == [1, 2, 3] and ticked(page) == 6
    page.get_by_role("button", name="val accuracy, top-1").click()
    assert page.locator("#table tbody tr").first.locator("td.n").nth(1).inner_text() == "99.9 %"
    page.locator("#table input").nth(20).check()
    expect(page.locator("#curves .chart").first.locator("path.line")).to_have_count(7)
    page.locator("#none").click()
    expect(page.locator("#curves")).to_be_hidden()
