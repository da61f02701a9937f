"""The scripts of the pages are checked all, and what the check is for is caught."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import ROOT
from convscope.report import annotation_page, page, server, sweep

pytestmark = pytest.mark.slow

ASSETS = "src/convscope/report/assets"
CONFIGS = {
    "tsconfig.json": page.SCRIPTS,
    "tsconfig.sweep.json": sweep.SCRIPTS,
    "tsconfig.annotation.json": annotation_page.SCRIPTS,
    "tsconfig.runs.json": server.SCRIPTS,
}


@pytest.mark.parametrize("config", CONFIGS)
def test_types_are_checked_of_the_scripts_that_a_page_loads(config):
    files = json.loads((ROOT / config).read_text())["files"]
    assert files == [f"{ASSETS}/{name}" for name in ("data.d.ts", *CONFIGS[config])]


def test_every_script_is_loaded_by_a_page():
    assert {path.name for path in (ROOT / ASSETS).glob("*.js")} == {
        name for names in CONFIGS.values() for name in names
    }


@pytest.fixture
def checked(tmp_path):
    """checked(command, script, old, new): status and output of a command of a check with one of the scripts changed."""
    tools = ROOT / "node_modules"
    if not (tools / ".ready").is_file():
        message = "no prettier and tsc here; `make scripts` installs them"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    for name in ("package.json", *CONFIGS):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / ASSETS, tmp_path / ASSETS)
    (tmp_path / "node_modules").symlink_to(tools)

    def check(command, script, old, new):
        text = (tmp_path / ASSETS / script).read_text()
        assert text.count(old) == 1
        (tmp_path / ASSETS / script).write_text(text.replace(old, new))
        path = f"{tmp_path}/node_modules/.bin:{os.environ['PATH']}"
        shell = {"shell": True, "env": {**os.environ, "PATH": path}, "capture_output": True, "text": True}
        result = subprocess.run(command, cwd=tmp_path, **shell)
        return result.returncode, result.stdout + result.stderr

    return check


LINT = json.loads((ROOT / "package.json").read_text())["scripts"]["lint"]
PRETTIER, PAGE, SWEEP, ANNOTATION, RUNS = LINT.split(" && ")


@pytest.mark.parametrize(
    ("command", "script", "old", "new", "message"),
    [
        ("npm run --silent lint", "page.js", "last = epochs[", "last =  epochs[", "page.js"),
        (PAGE, "columns.js", "/** @param {string} words */\n", "", "implicitly has an 'any' type"),
        (SWEEP, "sweep.js", "styles.get(id) ?? 0", "styles.get(id)", "'undefined' is not assignable"),
        (RUNS, "runs.js", "/** @param {string} text */\n", "", "implicitly has an 'any' type"),
    ],
)
def test_a_mistake_is_caught(checked, command, script, old, new, message):
    code, output = checked(command, script, old, new)
    assert code != 0 and message in output
