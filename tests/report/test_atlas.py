"""The content of the atlas's scripts, against the run folder: its records, its pictures and its sizes."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from convscope.report.page import write_page
from report.long_run import DEAD, long_run


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return long_run(tmp_path_factory.mktemp("runs") / "2026-01-02_03-04-05-000000_long", epochs=7, layers=3, maps=5)


@pytest.fixture
def folder(once, tmp_path):
    return shutil.copytree(once, tmp_path / once.name)


def overview(folder):
    write_page(folder)
    text = (folder / "report/data.js").read_text()
    return json.loads(text.removeprefix("window.DATA = ").removesuffix(";\n"))


def layer(folder, script):
    head, _, content = (folder / "report" / script).read_text().partition(" = ")
    name = json.loads(head.removeprefix("(window.ATLAS ||= {})[").removesuffix("]"))
    return name, json.loads(content.removesuffix(";\n"))


def edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_the_overview_says_what_there_is(folder):
    data = overview(folder)
    atlas = data["atlas"]
    assert (atlas["input"], atlas["epochs"], len(atlas["classes"])) == (96, [1, 2, 3, 4, 5, 6, 7], 4)
    assert atlas["layers"][1] == {
        "name": "conv2", "script": "atlas/conv2.js", "shown": [3, 10, 17, 24, 31], "maps": 32, "side": 12,
        "field": {"size": 27, "stride": 8, "start": -5},
    }  # fmt: skip
    assert [series["name"] for series in data["series"]] == [f"evolution/conv{number}" for number in (1, 2, 3)]
    assert data["metrics"]["epoch"] == [1, 2, 3, 4, 5, 6, 7]


def test_the_top_of_each_map_is_that_of_the_record(folder):
    for about in overview(folder)["atlas"]["layers"]:
        name, script = layer(folder, about["script"])
        assert name == about["name"] and len(script["frames"]) == len(script["top"]) == 7
        for frame, top in zip(script["frames"], script["top"], strict=True):
            record = load_file(folder / f"top9/epoch_{frame['epoch']:03d}.safetensors")
            assert (folder / "report" / frame["source"]).is_file() and frame["sheet"]["maps"] == about["shown"]
            for position, map_ in enumerate(about["shown"]):
                count = frame["sheet"]["count"][position]
                assert count == int((record[f"{name}.score"][map_] > 0).sum())
                for field in ("image", "row", "col"):
                    assert top[position][field] == record[f"{name}.{field}"][map_, :count].tolist()
                score = record[f"{name}.score"][map_, :count].tolist()
                assert top[position]["score"] == pytest.approx(score, rel=1e-3)


def test_kept_is_the_overlap_with_the_epoch_before(folder):
    for name in ("conv1", "conv2", "conv3"):
        _, script = layer(folder, overview(folder) and f"atlas/{name}.js")
        images = [[top["image"] for top in frame] for frame in script["top"]]
        assert script["kept"][0] == [None] * 5
        for epoch in range(1, 7):
            for current, previous, share in zip(images[epoch], images[epoch - 1], script["kept"][epoch], strict=True):
                brute = sum(any(image == earlier for earlier in previous) for image in current) / max(1, len(current))
                assert share == pytest.approx(brute, abs=1e-3) if current else share is None
    assert script["kept"][5][DEAD] is None and images[4][DEAD] == [] != images[3][DEAD]  # it dies
    assert layer(folder, "atlas/conv1.js")[1]["kept"][5][:4] == [1, 1, 1, 1]  # settled


def test_every_image_of_every_map_is_on_one_sheet(folder):
    atlas = overview(folder)["atlas"]
    in_records = {
        image
        for about in atlas["layers"] for frame in layer(folder, about["script"])[1]["top"]
        for top in frame for image in top["image"]
    }  # fmt: skip
    on_sheets = [image for sheet in atlas["sheets"] for image in sheet["images"]]
    assert sorted(on_sheets) == sorted(in_records) and max(len(sheet["images"]) for sheet in atlas["sheets"]) <= 100
    for sheet in atlas["sheets"]:
        width, height = Image.open(folder / "report" / sheet["source"]).size
        assert width == min(10, len(sheet["images"])) * 112 and height == -(-len(sheet["images"]) // 10) * 112


def test_tiles_cut_from_the_pictures_show_their_map_rank_and_epoch(folder):
    """The lettering at the sheet's places, against the same tile drawn anew."""
    from report.long_run import color, tile

    _, script = layer(folder, overview(folder) and "atlas/conv2.js")
    frame = script["frames"][4]
    picture = np.asarray(Image.open(folder / "report" / frame["source"])).astype(int)
    for kind, letter in (("projections", "p"), ("patches", "i")):
        x, y = frame["sheet"][kind][2]
        for rank in range(9):
            left, top = x + rank % 3 * 58, y + rank // 3 * 58
            drawn = tile(["conv2", "m17", f"r{rank}{letter}"], color(2, 17, letter == "i"), 56)[:40].astype(int)
            words = [["conv2", "m17", f"r{number}{letter}"] for number in range(9)]
            tiles = [tile(lines, color(2, 17, letter == "i"), 56)[:40] for lines in words]
            cut = picture[top : top + 40, left : left + 56]
            errors = [np.abs(cut - drawn_tile).mean() for drawn_tile in tiles]
            assert np.abs(cut - drawn).mean() < 8 and int(np.argmin(errors)) == rank


def test_runs_in_the_same_folder_are_named_newest_first(folder):
    later = shutil.copytree(folder, folder.parent / "2026-01-03_10-00-00-000000_a b<c")
    row = shutil.copytree(folder, folder.parent / "row_7")
    (folder.parent / "notes").mkdir()
    for run in (later, row):
        write_page(run)
    beside = overview(folder)["atlas"]["beside"]
    assert beside[0]["folder"] == "row_7" or beside[1]["folder"] == "row_7"
    link = next(run for run in beside if run["folder"] == later.name)
    assert link.pop("command").startswith("python src/run.py job=match ")
    assert link == {
        "title": "a b<c, 3 January 2026, 10:00", "folder": later.name,
        "report": "../../2026-01-03_10-00-00-000000_a%20b%3Cc/report/",
    }  # fmt: skip
    assert len(beside) == 2 and (folder / "report" / "../../row_7/report/data.js").is_file()


def test_layers_with_names_of_any_kind_have_files_of_their_own(folder):
    names = ["a/b", "a_b", "A_B", "../../x", "<script>"]
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    grid = next(line for line in lines if line["name"] == "top9/conv1")
    with open(folder / "index.jsonl", "a") as index:
        for name in names:
            index.write(json.dumps(grid | {"name": f"top9/{name}", "layer": name}) + "\n")
    scripts = {about["name"]: about["script"] for about in overview(folder)["atlas"]["layers"]}
    assert len({script.lower() for script in scripts.values()}) == 3 + len(names)
    for name in names:
        assert scripts[name].count("/") == 1 and layer(folder, scripts[name])[0] == name
    assert not set("<>&") & set((folder / "report" / scripts["<script>"]).read_text())
    assert not (folder / "x.js").exists() and not (folder.parent / "x.js").exists()


def test_a_run_that_still_trains_says_what_it_knows(folder):
    (folder / "summary.json").unlink()
    atlas = overview(folder)["atlas"]
    assert (atlas["classes"], atlas["input"]) == ([], 96)
    assert all(set(about) == {"name", "script", "shown"} for about in atlas["layers"])


def test_a_layer_that_sees_the_whole_image_and_one_whose_sides_differ(folder):
    def change(summary):
        summary["net"]["rows"][0] |= {"field": "image", "stride": "", "start": ""}
        summary["net"]["rows"][1] |= {"field": "3 x 5", "side": "30 x 14", "start": "0 x -1"}
        return summary

    edit(folder / "summary.json", change)
    conv1, conv2, _ = overview(folder)["atlas"]["layers"]
    assert conv1["field"] is None and "field" not in conv2 and "side" not in conv2


@pytest.mark.parametrize("summary", [[], {"net": 3}, {"net": {"rows": 7}, "classes": 3}, {"net": {"rows": [1, {}]}}])
def test_a_summary_of_another_shape_takes_nothing_but_itself(summary, folder):
    (folder / "summary.json").write_text(json.dumps(summary))
    assert len(overview(folder)["atlas"]["layers"]) == 3


def test_records_that_are_gone_damaged_or_of_other_shapes_leave_the_grids(folder):
    record = load_file(folder / "top9/epoch_003.safetensors")
    (folder / "top9/epoch_001.safetensors").unlink()
    (folder / "top9/epoch_002.safetensors").write_bytes(b"\xff" * 100)
    save_file({**record, "conv1.row": torch.zeros(2, 3)}, folder / "top9/epoch_003.safetensors")
    save_file({**record, "conv1.score": record["conv1.score"][:11].clone()}, folder / "top9/epoch_004.safetensors")
    cut = {name: field[:11].clone() for name, field in record.items()}
    save_file(cut | {"conv1.score": cut["conv1.score"] * torch.nan}, folder / "top9/epoch_005.safetensors")
    save_file(cut, folder / "top9/epoch_006.safetensors")
    _, script = layer(folder, overview(folder) and "atlas/conv1.js")
    counts = [[len(top["image"]) for top in frame] for frame in script["top"]]
    assert counts[:5] == [[0] * 5] * 5
    assert counts[5] == [9, 9, 0, 0, 0]  # maps 3 and 10 of the eleven it has
    assert len(script["frames"]) == 7 and script["kept"][6] == [None] * 5  # before it is no record of all maps


def test_grids_without_a_sheet_are_shown_whole(folder):
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("sheet", None)
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = overview(folder)
    assert data["atlas"] is None and not (folder / "report/atlas").exists()
    assert {"top9/conv1", "evolution/conv1", "images/0"} <= {series["name"] for series in data["series"]}


def test_frames_that_show_other_maps_are_left_out(folder):
    sheet = {"size": [9, 9], "tile": 1, "step": 1, "maps": [1], "projections": [[0, 0]], "patches": [[4, 0]]}
    sheet["count"] = [0]
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["name"] == "top9/conv1")
    first["sheet"] = sheet
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    overview(folder)
    assert [frame["epoch"] for frame in layer(folder, "atlas/conv1.js")[1]["frames"]] == [2, 3, 4, 5, 6, 7]
