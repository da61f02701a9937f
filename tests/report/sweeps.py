"""Sweeps of small run folders, as training runs leave them."""

import json
from pathlib import Path

import yaml

ATTACK = "<script>alert(1)</script>"
NOT_SETTINGS = {"name", "state", "problem", "epochs", "wanted", "seed"}


def run(folder: Path, top1: float = 0.6, **options) -> Path:
    """A run whose val top-1 grows to `top1` in equal steps; its loss is 2 (1 - top-1), its conv1 settles at epoch 2.

    options: seed, epochs (2), wanted (as many), name, state (finished, failed, running), problem; the others are
    settings of the optimizer.
    """
    epochs, state = options.get("epochs", 2), options.get("state", "finished")
    (folder / ".hydra").mkdir(parents=True)
    settings = {"job": "train", "name": "${model.name}", "seed": options.get("seed", 0)}
    settings |= {"model": {"source": "rows", "name": "zfnet"}, "trainer": {"max_epochs": options.get("wanted", epochs)}}
    settings |= {"optim": {"lr": 0.1} | {key: value for key, value in options.items() if key not in NOT_SETTINGS}}
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "metrics.csv").write_text("\n".join([",".join(_row(1, 1, 0)), *_lines(epochs, top1), ""]))
    if state != "running":
        about = {"job": "train", "name": options.get("name", folder.name), "seed": settings["seed"]}
        about |= {"finished": state == "finished", "final": {"epoch": epochs}, "seconds": {"train": 30.0 * epochs}}
        (folder / "summary.json").write_text(json.dumps(about | {"problem": options.get("problem")}))
    return folder


def with_page(folder: Path, atlas: bool = True) -> Path:
    """The run with an empty page, and with `atlas` a folder for one."""
    (folder / "report" / "atlas").mkdir(parents=True) if atlas else (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("<!doctype html><title>a run</title><link rel=icon href=data:,>")
    (folder / "report" / "data.js").write_text("window.DATA = {};\n")
    return folder


def _lines(epochs: int, top1: float) -> list[str]:
    return [",".join(str(value) for value in _row(epoch, epochs, top1).values()) for epoch in range(1, epochs + 1)]


def _row(epoch: int, epochs: int, top1: float) -> dict[str, float]:
    accuracy = top1 * epoch / epochs
    row = {"epoch": epoch, "val/loss": round(2 * (1 - accuracy), 6), "val/top1": round(accuracy, 6), "val/top5": 0.9}
    layers = {f"{kind}/conv{layer}": 0.0 for kind in ("stayed", "dead") for layer in (1, 2)}
    layers |= {"stayed/conv1": float(epoch > 1), "dead/conv2": 0.25}
    return row | {"seconds": 30} | layers
