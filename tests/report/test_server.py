"""The server of pages: what it gives, what it refuses, and its list of all runs in a real browser."""

import http.client
import json
import os
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import expect

from convscope.report.linked_runs import comparable_runs
from convscope.report.page import write_page
from convscope.report.run_list import RunList
from convscope.report.server import RunHandler, RunServer
from convscope.runs.heartbeat import PREFIX, STATUS, Heartbeat, RunStatus
from random_settings import done_or_refused
from report.on_screen import on_paper
from report.sweeps import ATTACK, run, with_page

TOKEN = "the-right-token"
PAGE = "/train/2026-01-02_03-04-05-000000_a/report/index.html"


@pytest.fixture
def outputs(tmp_path):
    """A training run with a page, one that goes on, a sweep of two; a secret beside them and links to it."""
    folder = tmp_path / "outputs"
    first = with_page(run(folder / "train/2026-01-02_03-04-05-000000_a", 0.75))
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/metrics.csv").write_text("secret")
    (folder / "notes.txt").write_text("secret")
    (first / "report/link.txt").symlink_to(tmp_path / "secret.txt")
    (first / "report/inside.js").symlink_to("data.js")
    (first / "pictures").symlink_to(tmp_path / "elsewhere")
    (folder / "train/other").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(first / "report/pipe")
    sweep = folder / "sweep/2026-01-03_03-04-05-000000_rates"
    for number in (0, 1):
        with_page(run(sweep / f"{number}_zfnet", 0.5 + number / 8, lr=0.1 + number))
    (sweep / "multirun.yaml").write_text("hydra: {}\n")
    (sweep / "secret.txt").write_text("secret")
    (sweep / "report").mkdir()
    (sweep / "report/index.html").write_text("the sweep")
    return folder


@contextmanager
def serving(folder, token=""):
    """A server of the folder at any free port."""
    server = RunServer(folder, "127.0.0.1", 0, token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def ask(outputs):
    """ask(path, headers) is what the server answers: status, headers, text."""
    with serving(outputs) as server:
        yield lambda path, **headers: answer(server, path, headers)


def answer(server, path, headers=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}))
        for name, value in (headers or {}).items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def test_files_of_runs_and_pages_of_sweeps_are_given(ask, outputs):
    status, headers, text = ask(PAGE)
    assert status == 200 and "<title>a run</title>" in text
    assert (
        headers["Content-Type"].startswith("text/html") and "default-src 'self'" in headers["Content-Security-Policy"]
    )
    assert ask(PAGE, If_None_Match=headers["ETag"])[0] == 304
    assert ask(PAGE.replace("index.html", "inside.js"))[2] == "window.DATA = {};\n"
    assert ask(f"{PAGE}?123")[0] == 200
    assert ask("/sweep/2026-01-03_03-04-05-000000_rates/report/index.html")[2] == "the sweep"
    metrics = "/sweep/2026-01-03_03-04-05-000000_rates/1_zfnet/metrics.csv"
    assert ask(metrics)[2] == (outputs / metrics[1:]).read_text()


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/train/../../secret.txt", "/%2e%2e/secret.txt", "/train/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt", "//etc/passwd", "/%2fetc/passwd", "/etc/passwd", "/notes.txt", "/..\\secret.txt",
        "/train/2026-01-02_03-04-05-000000_a/../../notes.txt", "/train/other/metrics.csv", "/%00", "/a%00b",
        "/train/2026-01-02_03-04-05-000000_a/report/link.txt", "/train/2026-01-02_03-04-05-000000_a/report/pipe",
        "/train/2026-01-02_03-04-05-000000_a/.hydra/config.yaml",
        "/train/2026-01-02_03-04-05-000000_a/pictures/metrics.csv",
        "/train/2026-01-02_03-04-05-000000_a/report/", "/train", "/sweep/2026-01-03_03-04-05-000000_rates/secret.txt",
        "/sweep/2026-01-03_03-04-05-000000_rates/multirun.yaml", "/" + 5000 * "a", "/%ff%fe", "/train/" + 60 * "a/",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_runs(ask, path):
    status, _, text = ask(path)
    assert status == 404 and "secret" not in text and "root:" not in text


def test_only_reading_is_answered_and_only_by_a_name_of_this_machine(ask, outputs):
    assert ask(PAGE, Host="localhost:1")[0] == ask(PAGE, Host="[::1]:80")[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        status, _, text = ask("/", Host=host)
        assert status == 403 and "--token" in text
    assert ask("/", Host="[")[0] == 400
    with serving(outputs) as server:
        assert answer(server, PAGE, method="HEAD")[2] == ""
        assert answer(server, PAGE, method="POST")[0] == answer(server, PAGE, method="DELETE")[0] == 501


def test_a_token_is_asked_of_every_request_and_becomes_a_cookie(outputs):
    with serving(outputs, TOKEN) as server:
        for path, words in (
            ("/", "a token is needed"), (PAGE, "a token is needed"), ("/rows", "a token is needed"),
            ("/?token=", "a token is needed"), ("/?token=wrong", "the token is wrong"),
            (f"/?token={TOKEN[:-1]}", "the token is wrong"), ("/?token=%ff%00", "the token is wrong"),
        ):  # fmt: skip
            status, headers, text = answer(server, path)
            assert status == 403 and words in text and "Set-Cookie" not in headers, path
        cookie = f"convscope_{server.port}"
        for wrong in (f"{cookie}=wrong", f"{cookie}=", f"other={TOKEN}", "\x01;=", f"{cookie}={TOKEN}x"):
            assert answer(server, "/", {"Cookie": wrong})[0] == 403
        status, headers, _ = answer(server, f"{PAGE}?token={TOKEN}")
        assert status == 303 and headers["Location"] == PAGE and "HttpOnly" in headers["Set-Cookie"]
        assert answer(server, f"//evil.example/?token={TOKEN}")[1]["Location"].startswith("/evil")
        right = headers["Set-Cookie"].partition(";")[0]
        assert answer(server, PAGE, {"Cookie": f"a=b; {right}", "Host": "machine.example"})[0] == 200


def test_the_list_has_runs_and_sweeps_newest_first(outputs):
    heart = Heartbeat(outputs / "train/2026-01-04_03-04-05-000000_b")
    (heart.folder).mkdir()
    (heart.folder / "about.json").write_text('{"job": "train", "name": "b"}')
    heart.start(20)
    try:
        rows = RunList(outputs).rows()
    finally:
        heart.end({"finished": False})
    found = [(row.name.rpartition("_")[2], row.job, row.state, row.accuracy, row.epochs) for row in rows]
    assert found == [
        ("b", "train", "running, epoch 1 of 20", "", "0 of 20"),
        ("zfnet", "train", "finished", "50.0 %", "2"), ("zfnet", "train", "finished", "62.5 %", "2"),
        ("rates", "sweep", "2 finished", "62.5 %", "2 runs"),
        ("a", "train", "finished", "75.0 %", "2"),
    ]  # fmt: skip
    assert rows[0].page is None and "/" + rows[-1].page == PAGE
    assert [row.name for row in RunList(outputs / "train/2026-01-02_03-04-05-000000_a").rows()] == [rows[-1].name[6:]]


def test_a_change_is_read_anew_and_damage_is_a_row(outputs):
    runs = RunList(outputs)
    runs.rows()
    (outputs / "train/2026-01-02_03-04-05-000000_a/summary.json").write_text('{"finished": false, "problem": "<b>"}')
    run(outputs / f"train/{ATTACK.replace('/', '_')}", 0.5)
    (outputs / "train/damaged").mkdir()
    (outputs / "train/damaged/summary.json").write_text("[")
    rows = {row.name: row for row in runs.rows()}
    assert rows["train/2026-01-02_03-04-05-000000_a"].state == "failed: <b>"
    assert rows["train/damaged"].form == "cut-off"


def test_odd_folders_do_not_hide_the_others(outputs):
    """A month that does not exist, bytes that are no UTF-8, a colon, and a file that cannot be read."""
    names = "2026-13-45_99-99-99_b", os.fsdecode(b"caf\xe9 100%"), "a:b", "broken"
    odd = [outputs / "train" / name for name in names]
    for folder in odd:
        with_page(run(folder, 0.5))
    (odd[-1] / "summary.json").unlink()
    (odd[-1] / "summary.json").symlink_to("/proc/self/mem")  # a file, says the system, and refuses to read it
    rows = {row.name: row for row in RunList(outputs).rows()}
    assert len(rows) == 8
    assert [rows[f"train/{folder.name}"].state for folder in odd] == [
        *3 * ["finished"], "cannot be read: Input/output error",
    ]  # fmt: skip
    with serving(outputs) as server:
        assert answer(server, "/")[0] == 200
        for folder in odd:
            status, _, text = answer(server, f"/{rows[f'train/{folder.name}'].page}")
            assert status == 200 and "<title>a run</title>" in text
    beside = comparable_runs(outputs / "train/2026-01-02_03-04-05-000000_a")
    assert [run["report"] for run in beside if "caf" in run["folder"]] == ["../../caf%E9%20100%25/report/"]
    assert len(beside) == 4


def test_what_is_said_of_a_run_that_is_not_over_is_said_anew(outputs):
    folder = outputs / "train/2026-01-04_03-04-05-000000_killed"
    (folder / "report").mkdir(parents=True)
    (folder / "about.json").write_text('{"job": "train", "name": "killed"}')
    runs, states = RunList(outputs), []
    for age in (200, 7500):
        status = RunStatus("running", "running", beat=time.time() - age)._asdict()
        (folder / STATUS).write_text(f"{PREFIX}{json.dumps(status)};\n")
        os.utime(folder / STATUS, times=(1, 1))
        states.append(runs.rows()[0].state)
    assert "no sign of life for 3 min" in states[0] and "no sign of life for 2 h" in states[1]


def test_an_answer_that_is_cut_off_is_not_the_last_one(page, outputs, monkeypatch):
    def cut_off(handler, text):
        handler._begin(200, "text/html; charset=utf-8", len(text) + 100)
        handler.wfile.write(text.encode())
        handler.close_connection = True

    with serving(outputs) as server:
        page.goto(f"http://127.0.0.1:{server.port}/")
        for is_cut_off in (True, False):
            with monkeypatch.context() as patch:
                if is_cut_off:
                    patch.setattr(RunHandler, "_answer", cut_off)
                page.evaluate("update()")
                expect(page.locator("#gone")).to_be_visible(visible=is_cut_off)


def test_rows_that_come_in_during_a_click_take_nothing_from_it(page, outputs):
    write_page(outputs / PAGE.rpartition("/report")[0][1:])
    with serving(outputs) as server:
        page.goto(f"http://127.0.0.1:{server.port}/")
        rows = page.locator("#table tbody tr")
        for number, pressed in enumerate([page.get_by_text("2 finished"), page.get_by_role("link", name="000000_a")]):
            expect(rows).to_have_count(4 + number)
            pressed.hover()
            page.mouse.down()
            run(outputs / f"train/2026-02-0{1 + number}_03-04-05-000000_new", 0.9)
            with page.expect_response("**/rows"):
                page.evaluate("void update()")
            page.wait_for_timeout(300)
            expect(rows).to_have_count(4 + number)
            page.mouse.up()
        expect(page.locator("h1")).to_have_text("2026-01-02_03-04-05-000000_a")


def test_the_list_in_a_browser_follows_filters_and_leads_to_pages(page, outputs):
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    run(outputs / f"train/{ATTACK.replace('/', '_')}", 0.5)
    with serving(outputs) as server:
        page.goto(f"http://127.0.0.1:{server.port}/")
        rows = page.locator("#table tbody tr:visible")
        expect(rows).to_have_count(5)
        page.locator("#filter").fill("sweep 62.5")
        expect(rows).to_have_count(2)
        expect(page.locator("#count")).to_have_text("2 of 5 runs and sweeps")
        run(outputs / "train/2026-02-02_03-04-05-000000_new", 0.9)
        page.locator("#filter").fill("")
        expect(rows).to_have_count(6, timeout=20_000)  # by itself
        on_paper(page)
        expect(page.locator("#filter")).to_be_hidden()
        page.emulate_media(media="screen")
        page.get_by_role("button", name="accuracy").click()
        expect(rows.first.locator("td.n").first).to_have_text("90.0 %")
        write_page(outputs / PAGE.rpartition("/report")[0][1:])
        page.get_by_role("link", name="000000_a").click()
        expect(page.locator("h1")).to_have_text("2026-01-02_03-04-05-000000_a")
        assert urlsplit(page.url).path == PAGE
        expect(page.locator("#training .chart").first).to_be_visible()
        assert done_or_refused(["job=annotate"], outputs / "annotate/mine") == "done"
        page.goto(f"http://127.0.0.1:{server.port}/")
        row = page.locator("#table tr", has_text="annotate/mine")
        expect(row.locator("td.finished")).to_have_text("finished")
        row.get_by_role("link").click()
        Image.new("RGB", (200, 100)).save(outputs / "photograph.png")
        page.locator("#files").set_input_files(outputs / "photograph.png")
        expect(page.locator("#photo")).to_be_visible()
    assert wrong == []
