"""Run folders of analyses, written with Record and invented results."""

from pathlib import Path

from PIL import Image, ImageDraw

from convscope.runs.record import Number, Picture, Record, Table

ATTACK = "<script>alert(1)</script>"
CONFIG = """job: {job}
name: ${{model.name}}
run: /Users/someone/photos/outputs/train/2025-03-04_15-16-17-000000_owls
ckpt: ${{run}}/checkpoints/last.ckpt
model: {{name: zfnet}}
data: {{source: critters, image_size: 96}}
"""
CLAIMS = [
    {"claim": "lower layers settle earlier", "value": 0.912345678, "verdict": "holds",
     "because": "the median epoch from which a map's strongest images stay: conv1 2, conv2 3, conv3 5, conv4 6"},
    {"claim": "rotation is not tolerated", "value": 0.41, "verdict": "does not hold", "because": "100 images"},
    {"claim": "smaller strides leave fewer dead filters", "value": None, "verdict": "not enough data", "because": ""},
]  # fmt: skip
IMAGES = [
    {"image": at, "class": ["fox", ATTACK][at % 2], "lowest_value": 0.0123456789 * at, "inside": at % 3 > 0}
    for at in range(60)
]  # fmt: skip


def looked(folder: Path) -> Path:
    """A run folder with results of every idea, none in the paper's order, and some of no known idea."""
    record = Record(folder)
    record.add(Picture("claims/intervals", drawing(900, 500), "The intervals", plot=True))
    record.add(Number("claims/settling", 0.912345678, "lower layers settle earlier"))
    record.add(Table("claims/table", CLAIMS, "The paper's claims on this run"))
    record.add(Number("occlusion/hit_rate", 0.93456789, "share of images whose worst place lies on the object"))
    record.add(Number("occlusion/hit_rate_low", 0.9, "its lower end"))
    record.add(Number("occlusion/hit_rate_high", 0.96, "its upper end"))
    record.add(Number("occlusion/center_rate", 0.61, "The center lies on it: 61.0 % of 100 images"))
    record.add(Number("occlusion/correlation", float("nan"), "Correlation over the places"))
    record.add(Picture("occlusion/fox", drawing(1400, 340), "a fox, \"covered\" & 'seen'"))
    record.add(Picture("occlusion/<b> 50% #1?", drawing(1400, 340), f"</figcaption>{ATTACK}"))
    record.add(Table("occlusion/images", IMAGES, "Where each image is most sensitive"))
    for place in range(3):
        record.add(Picture(f"neighbors/{place}", drawing(320, 200), f"neighbors of image {place}"))
    for layer in ("conv1", "conv3", "fc7"):
        for change in ("shift", "scale", "rotation"):
            record.add(Number(f"invariance/{layer}/{change}", 12.3456, f"{layer}: {change} to half the distance"))
    record.add(Picture("invariance/curves", drawing(1100, 1000), "Three by four", plot=True))
    record.add(Picture("correspondence/covered", drawing(900, 500), "Where the squares lay"))
    record.add(Picture("diagnosis/filters", drawing(500, 300), "First-layer filters", plot=True))
    record.add(Picture("receptive", drawing(640, 640), "Receptive fields over an image"))
    record.add(Picture("rules/conv5", drawing(1300, 800), "conv5 by three rules", layer="conv5"))
    record.add(Picture("unheard/of", drawing(200, 100), "a picture of another program"))
    record.add(Number("unheard/number", 3.0, "a number of another program"))
    record.add(Table("unheard/table", [{"a": 1}], "a table of another program"))
    return concluded(folder, record)


def concluded(folder: Path, record: Record, job: str = "occlude") -> Path:
    """Ends a run as cli/ does."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text(CONFIG.format(job=job))
    facts = {"job": job, "name": "zfnet", "net": {"name": "zfnet", "parameters": 1234567, "rows": []}}
    record.summary({**facts, "numbers": record.numbers, "finished": True, "seconds": {job: 12.0}})
    return folder


def drawing(width: int, height: int) -> Image.Image:
    """A picture of this size with grain, so that its file is as large as a photograph's."""
    image = Image.effect_noise((width, height), 24).convert("RGB")
    ImageDraw.Draw(image).rectangle((width // 4, height // 4, width // 2, height // 2), fill=(40, 110, 120))
    return image
