"""What a training run of 64 maps in each of five layers writes in 20 epochs, and what the address of one map loads.

python benchmarks/run_size.py [run folder]

Measures the folder of a run; without one, trains a row net whose layers have 64 maps for a few epochs, and counts each
epoch as often as 20 epochs have it. The checkpoints, which do not depend on what is drawn, are printed apart. The
address is opened in Chromium from the disk, at the last layer's first map and the last epoch; every file that the page
loads counts.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

from playwright.sync_api import sync_playwright

from convscope.report.page import write_page
from convscope.runs.reading import read_run

EPOCHS, TRAINED, GOAL, ADDRESS_GOAL = 20, 3, 60, 3  # goals in MB
MAPS = [f"model.layers.conv{number}.maps=64" for number in range(1, 6)]
FULL = ["model.layers.fc6.units=256", "model.layers.fc7.units=256"]
DATA = ["data.image_size=96", "data.train=400", "data.val=1000"]
DRAWN = ["evolution.maps=64", "evolution.measures=[]", f"trainer.max_epochs={TRAINED}", "trainer.accelerator=cpu"]


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else _trained(Path(place) / "run")
        epochs = {entry.epoch for entry in read_run(folder).entries if entry.name.startswith("top9/")}
        scale = EPOCHS / len(epochs)
        sizes = _sizes(folder, scale)
        for name, size in sizes.items():
            print(f"{name:22} {size:7.1f} MB")
        checkpoints = sizes.pop("checkpoints", 0.0)
        words = f"{EPOCHS} epochs" if scale == 1 else f"{EPOCHS} epochs, from {len(epochs)}"
        print(f"{'all but checkpoints':22} {sum(sizes.values()):7.1f} MB in {words}; goal below {GOAL}")
        print(f"{'with them':22} {sum(sizes.values()) + checkpoints:7.1f} MB")
        loaded = _loaded(folder)
        for path, size in sorted(loaded.items(), key=lambda item: -item[1])[:8]:
            print(f"    {size / 1e3:7.0f} KB {path.relative_to(folder)}")
        size = sum(loaded.values()) / 1e6
        print(f"the address of one map loads {size:.2f} MB in {len(loaded)} files; goal at most {ADDRESS_GOAL}")


def _trained(folder: Path) -> Path:
    words = ["model=zfnet", *MAPS, *FULL, *DATA, *DRAWN, f"hydra.run.dir={folder}"]
    subprocess.run([sys.executable, "-m", "convscope", *words], check=True)
    return folder


def _sizes(folder: Path, scale: float) -> dict[str, float]:
    """Megabytes by place in the run folder; of the files of an epoch as many as EPOCHS epochs have."""
    sizes: dict[str, float] = {}
    for path in filter(Path.is_file, folder.rglob("*")):
        parts = path.relative_to(folder).parts
        name = "/".join(parts[:2]) if parts[0] == "pictures" and len(parts) > 2 else parts[0]
        grows = "epoch_" in path.name or name == "index.jsonl" or parts[:2] == ("report", "atlas")
        thumbnails = name == "pictures/images"  # most come at the first epochs
        sizes[name] = sizes.get(name, 0.0) + path.stat().st_size / 1e6 * (scale if grows and not thumbnails else 1)
    return dict(sorted(sizes.items()))


def _loaded(folder: Path) -> dict[Path, int]:
    """The files that the address of one map loads, with their bytes."""
    page_file, requested = write_page(folder), set[str]()
    grids = [entry for entry in read_run(folder).entries if entry.name.startswith("top9/") and entry.sheet]
    last = max(grids, key=lambda entry: (entry.layer or "", entry.epoch or 0))
    state = f"#layer={quote(str(last.layer))}&epoch={last.epoch}&map={(last.sheet or {})['maps'][0]}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requested.add(request.url.partition("#")[0]))
        page.goto(page_file.as_uri() + state)
        page.locator("#strip").scroll_into_view_if_needed()  # below it nothing is loaded until somebody scrolls there
        page.locator("#strip canvas[data-drawn]").first.wait_for(timeout=120_000)
        page.wait_for_timeout(5000)
        browser.close()
    paths = {Path(unquote(urlparse(url).path)) for url in requested if url.startswith("file:")}
    return {path: path.stat().st_size for path in paths if path.is_file()}


if __name__ == "__main__":
    main()
