"""What the page of a run says, read back from its html and its data."""

import csv
import json
import multiprocessing
import shutil
import time
from html.parser import HTMLParser

from convscope.report.page import write_page
from convscope.runs.atomic_io import alone_in

ATTACK = "</script><script>alert(1)</script>\u2028\u2029\"'"


class Text(HTMLParser):
    """The words of a page, and how many script tags it has."""

    def __init__(self, text):
        super().__init__()
        self.words, self.scripts, self.open = [], 0, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.open = tag

    def handle_data(self, data):
        if self.open not in ("script", "style") and data.strip():
            self.words.append(" ".join(data.split()))


def page_of(folder):
    text = write_page(folder).read_text()
    script = (folder / "report" / "data.js").read_text()
    assert script.startswith("window.DATA = ")
    return Text(text), json.loads(script.removeprefix("window.DATA = ").removesuffix(";\n"))


def test_a_finished_run_says_what_it_was_and_what_came_out(finished_run):
    text, data = page_of(finished_run)
    joined = " | ".join(text.words)
    for expected in ("zfnet", "critters", "4 March 2025, 15:16", "95.3 %", "100.0 %", "1 min 45 s", "640", "1,234,567"):
        assert expected in joined
    assert "conv1 settled first, at epoch 2; conv5 has not settled. Dead maps: conv3 (4 of 32)." in text.words
    assert "validation accuracy stood at chance for 1 epoch" in text.words
    assert "python src/run.py model.width=0.25 trainer.max_epochs=8" in text.words
    assert "not finished" not in joined
    assert data["metrics"]["epoch"] == list(range(1, 9))


def test_who_waits_to_write_a_page_reads_the_run_as_it_is_then(finished_run):
    metrics = finished_run / "metrics.csv"
    *_, last = csv.reader(metrics.open())
    write_page(finished_run)
    writer = multiprocessing.get_context("fork").Process(target=write_page, args=(finished_run,))
    with alone_in(finished_run / "report"):
        writer.start()
        time.sleep(0.5)  # in which a writer that did not wait would have read it
        with metrics.open("a") as file:
            file.write(",".join(["9", *last[1:]]) + "\n")
    writer.join()
    written = (finished_run / "report" / "data.js").read_text().removeprefix("window.DATA = ").removesuffix(";\n")
    assert writer.exitcode == 0 and json.loads(written)["metrics"]["epoch"] == list(range(1, 10))


def test_every_picture_is_reached_from_the_report_folder(finished_run):
    _, data = page_of(finished_run)
    frames = {series["name"]: [frame["epoch"] for frame in series["frames"]] for series in data["series"]}
    assert frames["top9/conv4"] == list(range(1, 9))
    assert frames["evolution/conv4"] == [None]
    sources = [frame["source"] for series in data["series"] for frame in series["frames"]]
    assert all((finished_run / "report" / source).is_file() for source in sources)


def test_rows_of_the_net_tables_and_config(finished_run):
    text, _ = page_of(finished_run)
    for expected in ("pool1", "31 × 31", "75 px", "whole image", "Accuracy by class", "0.9", "480"):
        assert expected in text.words


def test_an_unfinished_run_shows_how_far_it_came(unfinished_run):
    text, data = page_of(unfinished_run)
    joined = " | ".join(text.words)
    assert "not finished: as far as it came" in joined
    assert "zfnet" in text.words  # the config says name: ${model.name}
    assert "${" not in text.words[0] + text.words[1]
    assert "69.3 %" in joined  # 1 - .92 / 3, the last row of metrics.csv
    assert "38 s" in joined  # 3 times 12.5
    assert len(data["metrics"]["epoch"]) == 3


def test_pictures_without_epochs_and_without_metrics(pictures_run):
    text, data = page_of(pictures_run)
    assert [series["layer"] for series in data["series"]] == ["features.0", "features.3"]
    assert data["metrics"] == {}
    assert "looked" in text.words


def test_only_the_run_folder_is_read(finished_run, tmp_path):
    page_of(finished_run)
    moved = shutil.copytree(finished_run, tmp_path / "elsewhere" / finished_run.name)
    before = (moved / "report" / "index.html").read_bytes(), (moved / "report" / "data.js").read_bytes()
    shutil.rmtree(moved / "report")
    shutil.rmtree(finished_run)
    write_page(moved)
    assert ((moved / "report" / "index.html").read_bytes(), (moved / "report" / "data.js").read_bytes()) == before


def test_nothing_half_written_stays(finished_run):
    write_page(finished_run)
    write_page(finished_run)
    assert sorted(path.name for path in (finished_run / "report").iterdir()) == ["data.js", "index.html"]


def test_words_of_others_are_escaped_everywhere(finished_run, add_picture, add_line):
    plain = page_of(finished_run)[0].scripts
    add_picture(finished_run, "top9/convX", ATTACK, 1, ATTACK)
    add_line(finished_run, kind="number", name="x", value=1, caption=ATTACK)
    (finished_run / "tables" / "bad.csv").write_text('"</table><script>alert(1)</script>"\n<script>alert(1)</script>\n')
    add_line(finished_run, kind="table", name=ATTACK, path="tables/bad.csv", caption=ATTACK)
    summary = json.loads((finished_run / "summary.json").read_text())
    summary |= {"name": ATTACK, "warnings": [ATTACK], "git": ATTACK, "classes": [ATTACK]}
    summary["net"]["rows"][0]["name"] = ATTACK
    (finished_run / "summary.json").write_text(json.dumps(summary))
    (finished_run / ".hydra" / "config.yaml").write_text(f"a: {ATTACK}\n")
    (finished_run / "metrics.csv").write_text("epoch,stayed/<script>alert(1)</script>\n1,0\n2,0.7\n")
    text, data = page_of(finished_run)
    assert text.scripts == plain
    assert any(series["layer"] == ATTACK for series in data["series"])
    script = (finished_run / "report" / "data.js").read_text()
    assert script.isascii()
    assert not set("<>&") & set(script)


def test_half_a_surrogate_and_strange_file_names(pictures_run, add_picture):
    add_picture(pictures_run, "top9/50% #1?", "half \ud83d", layer="50% #1?")
    _, data = page_of(pictures_run)
    assert data["series"][-1]["frames"][0]["source"] == "../pictures/top9/50%25%20%231%3F.jpg"


def test_a_summary_with_other_shapes_still_gives_a_page(pictures_run):
    (pictures_run / "summary.json").write_text('{"final": null, "net": {"rows": [{"name": "a"}]}, "seconds": null}')
    assert "a" in page_of(pictures_run)[0].words


def test_the_net_of_a_checkpoint_is_drawn_at_its_own_size_whatever_the_config_says_of_data(looked_run):
    """As of job=occlude data=folder ckpt=..., whose conf/data/folder says 224."""
    config = looked_run / ".hydra/config.yaml"
    config.write_text("job: occlude\nckpt: one/checkpoints/last.ckpt\ndata: {source: folder, image_size: 224}\n")
    path = looked_run / "summary.json"
    rows = [{"name": "conv1", "kind": "conv", "maps": 16, "side": 47, "field": 7, "stride": 2, "start": -1}]
    summary = json.loads(path.read_text()) | {"net": {"name": "zfnet", "image_size": 96, "rows": rows}}
    path.write_text(json.dumps(summary))
    text = write_page(looked_run).read_text()
    assert 'data-input="96"' in text and "96 × 96" in text and "224 ×" not in text
    del summary["net"]["image_size"]
    path.write_text(json.dumps(summary))
    assert 'data-input=""' in write_page(looked_run).read_text()  # not known


def test_a_run_of_images_of_several_classes_names_its_average_precision_and_no_chance(finished_run):
    header, *rows = csv.reader((finished_run / "metrics.csv").read_text().splitlines())
    chance = {"val/top1": "0.1", "val/loss": "2.9"}
    rows = [[chance.get(name, cell) for name, cell in zip(header, row, strict=True)] for row in rows]
    low = "\n".join(",".join(row) for row in [header, *rows]) + "\n"
    (finished_run / "metrics.csv").write_text(low)
    page, _ = page_of(finished_run)
    assert any(word.startswith("The net has not learned") for word in page.words) and "–" in page.words
    first, *rest = low.splitlines()
    (finished_run / "metrics.csv").write_text("\n".join([f"{first},val/mean_ap", *(f"{r},0.4242" for r in rest), ""]))
    words = page_of(finished_run)[0].words
    assert any(word.startswith("conv1 settled first") for word in words)
    assert words[words.index("validation mean AP") + 1] == "42.4 %"
