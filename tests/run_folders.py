"""Run folders written by hand in the documented form, as fixtures."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

LAYERS = {"conv1": 16, "conv2": 24, "conv3": 32, "conv4": 32, "conv5": 24}  # layer -> maps
EPOCHS = 8
SETTLED = {"conv1": 2, "conv2": 3, "conv3": 5, "conv4": 6, "conv5": None}
SPECIES = ["fox", "owl", "<script>alert(1)</script>"]
CONFIG = "job: train\nname: ${model.name}\nmodel: {name: zfnet}\ndata: {source: critters, image_size: 64}\n"


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """A training run of 8 epochs, 5 layers, to its end."""
    folder = unfinished(tmp_path / "2025-03-04_15-16-17-000000_zfnet", EPOCHS)
    for layer in LAYERS:
        picture(folder, f"evolution/{layer}", f"{layer}: the strongest projection of each map", layer=layer)
    picture(folder, "settling", "Do the lower layers settle first?", form="png")
    picture(folder, "curves", "Loss and top-1 over the epochs", form="png")
    (folder / "tables").mkdir()
    (folder / "tables" / "per_class.csv").write_text("class,top1\nfox,0.9\n<script>alert(1)</script>,0.8\n")
    line(folder, kind="table", name="per_class", path="tables/per_class.csv", caption="Accuracy by class")
    line(folder, kind="number", name="images", value=480.0, caption="validation images")
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


@pytest.fixture
def unfinished_run(tmp_path: Path) -> Path:
    """The same run, killed after three epochs: no summary, no pictures of the whole run."""
    return unfinished(tmp_path / "2025-03-04_15-16-17-000000_zfnet", 3)


@pytest.fixture
def pictures_run(tmp_path: Path) -> Path:
    """A job=visualize run: pictures without epochs, no metrics."""
    folder = tmp_path / "looked"
    for layer in ("features.0", "features.3"):
        picture(folder, f"top9/{layer}", f"{layer}: the nine val images that excite each map most", layer=layer)
    return folder


@pytest.fixture
def add_line():
    """Writes one more line into index.jsonl: add_line(folder, kind=..., name=..., ...)."""
    return line


@pytest.fixture
def add_picture():
    """Puts a picture and its line into a run folder: add_picture(folder, name, caption, epoch, layer)."""
    return picture


def unfinished(folder: Path, epochs: int) -> Path:
    """The run folder after `epochs` of a training run."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(CONFIG)
    (folder / ".hydra" / "overrides.yaml").write_text("- model.width=0.25\n- trainer.max_epochs=8\n")
    (folder / ".hydra" / "hydra.yaml").write_text("hydra:\n  runtime:\n    choices: {model: zfnet, data: critters}\n")
    for epoch in range(1, epochs + 1):
        for layer in LAYERS:
            caption = f"{layer}, epoch {epoch}: the nine val images that excite each map most"
            picture(folder, f"top9/{layer}", caption, epoch, layer)
        picture(folder, "filters/conv1", f"conv1 filters, epoch {epoch}", epoch, "conv1", "png")
    rows = [metrics(epoch) for epoch in range(1, epochs + 1)]
    text = "\n".join([",".join(rows[0]), *(",".join(f"{value:.6g}" for value in row.values()) for row in rows)])
    (folder / "metrics.csv").write_text(text + "\n")
    return folder


def metrics(epoch: int) -> dict[str, float]:
    """One row of metrics.csv: a layer stays by .8 from its settled epoch on, by .3 before, 0 in the first epoch."""
    row = {"epoch": epoch, "train/loss": 2.4 / epoch, "val/loss": 2.5 / epoch, "train/top1": 1 - 0.9 / epoch}
    row |= {"lr": 0.01, "val/top1": 1 - 0.92 / epoch, "val/top5": 1 - 0.4 / epoch, "seconds": 12.5}
    row["images_per_second"] = 640.0
    for layer, settled in SETTLED.items():
        row[f"stayed/{layer}"] = 0.0 if epoch == 1 else 0.8 if settled and epoch >= settled else 0.3
        row[f"dead/{layer}"] = 0.125 if layer == "conv3" else 0.0
    return row


def picture(
    folder: Path, name: str, caption: str, epoch: int | None = None, layer: str | None = None, form: str = "jpg"
) -> None:
    """A small picture that says what it is, and its line in index.jsonl."""
    stem = name if epoch is None else f"{name}/epoch_{epoch:03d}"
    path = folder / "pictures" / f"{stem}.{form}"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (240, 150), (40 + 20 * (epoch or 0), 110, 120))
    ImageDraw.Draw(image).text((12, 60), f"{name} {epoch or ''}", fill="white")
    image.save(path)
    fields = {"kind": "picture", "name": name, "epoch": epoch, "caption": caption, "layer": layer}
    line(folder, **{k: v for k, v in fields.items() if v is not None}, path=path.relative_to(folder).as_posix())


def line(folder: Path, **fields: object) -> None:
    """One more line of index.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "index.jsonl", "a", encoding="utf-8") as index:
        index.write(json.dumps(fields) + "\n")


ROWS = [
    {"name": "conv1", "kind": "conv", "maps": 16, "side": 31, "field": 7, "stride": 2},
    {"name": "pool1", "kind": "pool", "maps": 16, "side": 16, "field": 11, "stride": 4},
    {"name": "conv2", "kind": "conv", "maps": 24, "side": 6, "field": 27, "stride": 8},
    {"name": "conv3", "kind": "conv", "maps": 32, "side": 4, "field": 75, "stride": 16},
    {"name": "fc8", "kind": "full", "maps": 3, "side": 1, "field": "image", "stride": ""},
]
SUMMARY = {
    "job": "train", "name": "zfnet", "seed": 0, "finished": True,
    "final": {"epoch": 8, "val/top1": 0.9534, "val/top5": 1.0}, "best": {"epoch": 7, "val/top1": 0.9561},
    "classes": SPECIES, "net": {"name": "zfnet", "parameters": 1234567, "rows": ROWS},
    "versions": {"torch": "2.9.0"}, "git": None, "seconds": {"data": 5.0, "fit": 100.0},
    "images_per_second": 640.0, "warnings": ["validation accuracy stood at chance for 1 epoch"],
}  # fmt: skip
