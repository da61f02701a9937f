"""job=match end to end: a trained run and a copy with its maps in another order, read back from the run folders."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

import convscope
from convscope.analyses.matching.compute import match_nets
from convscope.analyses.matching.figure import recurrence_plot
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.report.matched_maps import matched_runs
from convscope.report.page import write_page

CONF = Path(__file__).resolve().parents[3] / "conf"
SMALL = ["match.images=10", "match.pairs=1", "match.tile=16", "trainer.accelerator=cpu"]


def matched(words, folder):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=["job=match", *SMALL, *words])
    JOBS["match"]({**OmegaConf.to_container(composed, resolve=True), "words": words}, folder)
    return folder


@pytest.fixture(scope="module")
def runs(trained, cache, tmp_path_factory):
    """A folder with the run, a copy whose maps of conv5 are in another order, and a job=match of both; the order."""
    place = tmp_path_factory.mktemp("match")
    for name in ("a", "b"):
        shutil.copytree(trained, place / "train" / name)
    checkpoint = torch.load(place / "train/b/checkpoints/last.ckpt", weights_only=True)
    weights = checkpoint["state_dict"]
    order = torch.randperm(len(weights["net.conv5.weight"]), generator=torch.Generator().manual_seed(3))
    for name in ("net.conv5.weight", "net.conv5.bias"):
        weights[name] = weights[name][order]
    torch.save(checkpoint, place / "train/b/checkpoints/last.ckpt")
    nets = ",".join(f"{place}/train/{name}/checkpoints/last.ckpt" for name in ("a", "b"))
    matched([f"ckpt=[{nets}]", "match.layers=[conv5]", f"data.cache_dir={cache}"], place / "jobs/match")
    return place, order


def test_every_map_finds_its_copy(runs):
    place, order = runs
    pairs = list(csv.DictReader((place / "jobs/match/tables/match/pairs.csv").open()))
    assert len(pairs) > 5 and all(float(row["correlation"]) > 0.999 for row in pairs)
    assert all(order[int(row["map of the other"])] == int(row["map"]) for row in pairs)
    (layer,) = csv.DictReader((place / "jobs/match/tables/match/layers.csv").open())
    assert (layer["recur %"], layer["CKA"]) == ("100.0", "1.0") and float(layer["untrained %"]) < 100
    summary = json.loads((place / "jobs/match/summary.json").read_text())
    assert summary["finished"] and summary["numbers"]["match/recur"] == 1
    lines = [json.loads(line) for line in (place / "jobs/match/index.jsonl").read_text().splitlines()]
    for line in lines:
        assert line.get("caption")
        if line["kind"] == "picture":
            Image.open(place / "jobs/match" / line["path"]).verify()
    assert lines[0]["caption"].startswith(f"100% of {len(pairs)} maps of a recur in b (95 % interval")


def overview(run):
    text = (run / "report/data.js").read_text()
    return json.loads(text.removeprefix("window.DATA = ").rstrip(";\n"))["atlas"]


def test_the_page_of_the_first_run_has_the_matching_maps_of_the_second(runs):
    place, order = runs
    atlas = overview(place / "train/a")
    (shown,) = (layer["shown"] for layer in atlas["layers"] if layer["name"] == "conv5")
    (beside,) = atlas["beside"]
    (layer,) = beside["matched"]["layers"]
    partners = {map_: partner for map_, partner, *_ in layer["partners"]}
    assert set(partners) <= set(range(len(order))) and all(order[partner] == map_ for map_, partner in partners.items())
    assert layer["shown"] == [partners[map_] for map_ in shown if map_ in partners] and layer["name"] == "conv5"
    script = (place / "train/a/report" / layer["script"]).read_text()
    record = json.loads(script[script.index("] = ") + 4 :].rstrip(";\n"))
    assert Image.open(place / "train/a/report" / record["frames"][0]["source"]).size == tuple(
        record["frames"][0]["sheet"]["size"]
    )
    images = {image for top in record["top"][0] for image in top["image"]}
    assert images == {image for sheet in beside["matched"]["sheets"] for image in sheet["images"]}
    assert all((place / "train/a/report" / sheet["source"]).is_file() for sheet in beside["matched"]["sheets"])


def test_where_no_match_is_known_the_page_names_the_command(runs):
    place, _ = runs
    write_page(place / "train/b")
    (beside,) = overview(place / "train/b")["beside"]
    assert "matched" not in beside
    assert beside["command"].endswith("job=match 'ckpt=[train/b,train/a]'")


@pytest.mark.parametrize("damage", ["no table", "not finished", "hostile"])
def test_a_damaged_match_is_none(runs, tmp_path, damage):
    shutil.copytree(runs[0], tmp_path / "place")
    place = tmp_path / "place"
    assert [Path(other).name for other in matched_runs(place / "train/a")] == ["b"]
    match damage:
        case "no table":
            (place / "jobs/match/tables/match/pairs.csv").write_text("layer,map\nconv5,x\n")
        case "not finished":
            (place / "jobs/match/summary.json").write_text("{")
        case "hostile":
            lines = (
                (place / "train/a/looked_at.jsonl").read_text().replace("../../jobs/match", str(place / "jobs/match"))
            )
            (place / "train/a/looked_at.jsonl").write_text(lines + '[1]\n{"folder": 3, "job": "match"}\n')
    assert matched_runs(place / "train/a") == {}


def test_what_comes_back_in_every_net_of_a_sweep(runs, cache, monkeypatch):
    place, order = runs
    words = [f"match.runs={place}/train", "match.layers=[conv5]", f"data.cache_dir={cache}"]
    folder = matched(words, place / "jobs/sweep")
    (layer,) = csv.DictReader((folder / "tables/match/layers.csv").open())
    assert (layer["in every net %"], layer["other nets"], layer["by chance %"]) == ("100.0", "1", "5.0")
    maps = list(csv.DictReader((folder / "tables/match/maps.csv").open()))
    assert [(row["recurs in"], row["of"]) for row in maps] == [("1", "1")] * int(layer["maps"])
    assert (folder / "pictures/match/everywhere/conv5.jpg").is_file()
    monkeypatch.setenv("CONVSCOPE_CACHE", str(cache))
    broken = place / "broken"
    broken.mkdir()
    (broken / "summary.json").write_text('{"job": "train", "finished": false, "problem": "it stopped"}')
    with pytest.raises(UserError, match=r"needs two trained nets or more.*broken: it stopped"):
        convscope.match(runs=[place / "train/a", broken])


def net(seed, maps=12):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, maps, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(maps, 4))


IMAGES = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 4


def test_nets_of_other_widths_and_normalizations():
    first = net(0)
    wider = net(1, maps=20)
    with torch.no_grad():  # its first twelve maps are those of the first net, for images twice as bright
        wider[0].weight[:], wider[0].bias[:] = first[0].weight / 2, first[0].bias
        wider[2].weight[:12], wider[2].bias[:12] = first[2].weight, first[2].bias
    other = convscope.subject(wider, (2 * IMAGES[0], IMAGES[1]))
    found = convscope.match(convscope.subject(first, IMAGES), other, images=24, pairs=1, tile=16)
    partners = {row["map"]: row["map of the other"] for row in found.tables["match/pairs"] if row["layer"] == "3"}
    assert all(map_ == partner for map_, partner in partners.items()) and partners
    assert found.numbers["match/recur"] == 1
    assert "same weights" not in found.conclusion
    itself = convscope.match(first, net(0), IMAGES, images=24, pairs=1, tile=16)
    assert itself.numbers["match/recur"] == 1
    assert itself.conclusion.startswith("Sequential #2 and Sequential have the same weights")


def test_the_curves_are_called_what_they_are_and_negative_values_are_drawn():
    """With twelve random images and maps of noise CKA with shuffled images is negative somewhere."""
    first = convscope.subject(net(0), (IMAGES[0][:12], IMAGES[1][:12]))
    pairs, index = [("1", "1"), ("3", "3")], torch.arange(12)
    matching = match_nets(first, first._replace(net=net(1)), pairs, "val", index)
    assert (matching.cka.shuffled < 0).any()
    for other, untrained in (("untrained", None), ("other net", matching)):
        *_, cka = recurrence_plot(matching, untrained, other).axes
        labels = [line.get_label() for line in cka.get_lines() if not line.get_label().startswith("_")]
        assert labels == [other, *(["untrained"] if untrained else []), "shuffled"]
        assert cka.get_ylim()[0] < min(matching.cka.shuffled[:, place, place].min() for place in (0, 1)) < 0


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((net(0),), {}, "two nets are compared"),
        ((net(0), "other", IMAGES), {}, "other='other' is no net"),
        ((net(0), net(1), IMAGES), {"images": 1}, "images=1 is too small; it is 4 or more"),
        ((net(0), net(1), IMAGES), {"images": [1, 1, 2, 3]}, "names an image twice"),
        ((net(0), net(1), IMAGES), {"layers": ["1", "9"]}, r"the first net \(Sequential\) has no layer 9"),
        ((net(0), net(1), IMAGES), {"layers": {"1": "x"}}, r"the second net \(Sequential\) has no layer x"),
        ((convscope.subject(net(0), IMAGES), convscope.subject(net(1), (IMAGES[0].flip(0), IMAGES[1]))), {},
         "two nets would see other val images; make both subjects of the same images"),
        ((convscope.subject(net(0), IMAGES), convscope.subject(net(1), (IMAGES[0][:9], IMAGES[1][:9]))), {},
         "other val images .24 and 9."),
        ((net(0),), {"runs": "/nowhere"}, "leave nets and images out"),
        ((), {"runs": "/nowhere"}, "runs='/nowhere' is no folder"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(arguments, settings, message):
    with pytest.raises(UserError, match=message):
        convscope.match(*arguments, **settings)


def test_a_net_without_random_weights_of_its_own():
    """Its modules cannot draw a weight that is none of theirs: "random" says what to pass, two nets have no null."""
    drawn = net(0)
    drawn.scale = nn.Parameter(torch.ones(1))
    with pytest.raises(UserError, match="cannot draw its weights anew; pass a net of random weights in place of"):
        convscope.match(drawn, "random", IMAGES)
    (row,) = convscope.match(net(1), drawn, IMAGES, layers=["1"]).tables["match/layers"]
    assert "untrained %" not in row


def test_one_checkpoint_is_not_two(trained, tmp_path):
    with pytest.raises(UserError, match=r"compares two nets.*\(ckpt names 1, match.beside=null\)"):
        matched([f"ckpt=[{trained}/checkpoints/last.ckpt]"], tmp_path / "run")
