"""The browser that opens pages, and runs and jobs whose pages it opens."""

import os
import re
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import expect

from convscope.report.page import write_page
from report.analyses import looked
from report.long_run import long_run
from report.on_screen import LONG, OTHER

expect.set_options(timeout=30_000)  # milliseconds: a machine may be slow, or busy with other tests
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """Debian's chromium instead of a downloaded one."""
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "no chromium here; `make browser` installs it"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return {**browser_type_launch_args, "executable_path": chromium, "args": FLAGS}


@pytest.fixture
def opened(page):
    """opened(path, hash) opens a page; nothing may go wrong or leave the disk until the test ends."""
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda sent: None if re.match("(file|data|blob):", sent.url) else wrong.append(sent.url))

    def at(path, state=""):
        page.goto(path.as_uri() + state)
        page.wait_for_load_state("load")
        return page

    yield at
    assert wrong == []


@pytest.fixture
def show(opened):
    """show(folder, hash) writes the page of a run folder and opens it."""
    return lambda folder, state="": opened(write_page(folder), state)


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder of two runs: 64 epochs of five layers, and 12 epochs of three of them; one for all workers of pytest."""
    own = tmp_path_factory.getbasetemp()
    parent = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "runs"
    done = parent.with_suffix(".done")
    with FileLock(f"{parent}.lock"):
        if not done.exists():
            long_run(parent / LONG, 64, 5, 16)
            long_run(parent / OTHER, 12, 3, 12)
            for name in (OTHER, LONG):  # the long run's page then knows of the other
                write_page(parent / name)
            done.touch()
    return parent


@pytest.fixture
def open_long_run(opened, runs):
    """open_long_run(address) opens the page of the long run at this address."""
    return lambda address="": opened(runs / LONG / "report" / "index.html", address)


@pytest.fixture(scope="session")
def looked_once(tmp_path_factory) -> Path:
    return looked(tmp_path_factory.mktemp("looked") / "2025-04-05_06-07-08-000000_looked")


@pytest.fixture
def looked_run(looked_once: Path, tmp_path: Path) -> Path:
    """A run folder with results of every idea of the paper, as analyses leave them."""
    return Path(shutil.copytree(looked_once, tmp_path / looked_once.name))
