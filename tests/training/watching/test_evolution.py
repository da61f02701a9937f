"""Feature evolution: its numbers on records whose answers are known, the epochs of Fig. 4, the rules of a run."""

import json

import torch

from convscope.analyses.visualize.about import FeatureConfig
from convscope.engine.projection_rule import RuleChoice
from convscope.engine.top9 import Top9
from convscope.training.watching.evolution import EpochProjections, Evolution, change_since, spread_epochs


def test_the_epochs_of_fig_4_are_spread_towards_the_beginning():
    assert spread_epochs([1, 2, 5], 12) == [1, 2, 5]
    spread = spread_epochs(list(range(1, 65)), 12)
    assert spread[0] == 1 and spread[-1] == 64 and len(spread) <= 12
    gaps = [b - a for a, b in zip(spread, spread[1:], strict=False)]
    assert gaps == sorted(gaps)


def test_a_layers_rule_is_measured_once_and_said_at_every_epoch(trained):
    """conv1 of a ZFNet looks the same by every rule; the others are chains with max pooling."""
    state = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["FeatureEvolution"]
    rules = {layer: RuleChoice.from_state(rule) for layer, rule in state["rules"].items()}
    assert list(rules) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert all(rule.rule == "deconvnet" and rule.chain and rule.measured for rule in rules.values())
    lines = [json.loads(line) for line in (trained / "index.jsonl").read_text().splitlines()]
    grids = [line for line in lines if line["name"].startswith("top9/")]
    assert len(grids) == 10 and {line["epoch"] for line in grids} == {1, 2}
    for line in grids:
        assert line["sheet"]["rule"] == rules[line["layer"]].words and rules[line["layer"]].words in line["caption"]
        assert "; depends on the weights " in line["caption"] and line["layer"] in line["caption"]


def test_a_run_of_version_0_1_goes_on_with_the_deconvnet_that_its_numbers_were_made_with():
    assert FeatureConfig(None, 4, None, "val").rule == "deconvnet"
    evolution = Evolution(None, None, FeatureConfig(None, 4, None, "val"), 0)
    evolution.load_state_dict({"rows": "", "previous": {}, "pictured": []})
    assert evolution.rules == {}


def record(images, strongest=1.0):
    """One map whose nine images are given (-1: none)."""
    image = torch.tensor([images])
    score = torch.where(image >= 0, strongest, -torch.inf)
    return Top9(score, image, torch.zeros_like(image), torch.zeros_like(image))


def projections(top, projection):
    return EpochProjections(top, [0], projection.expand(1, 3, 4, 4))


def test_at_first_there_is_nothing_to_compare_with():
    top = record(range(9))
    assert change_since(projections(top, torch.ones(4, 4)), None) == (0.0, 0.0, 0.0)


def test_stayed_counts_images_whatever_their_rank():
    before, after = record(range(9)), record([8, 7, 6, 20, 21, 22, 23, 24, 25])
    same = torch.arange(16.0).reshape(4, 4)
    overlap, similarity, dead = change_since(projections(after, same), projections(before, 3 * same))
    assert abs(overlap - 3 / 9) < 1e-6 and abs(similarity - 1) < 1e-6 and dead == 0
    _, opposite, _ = change_since(projections(after, same), projections(before, -same))
    assert abs(opposite + 1) < 1e-6


def test_places_without_an_image_never_stay():
    two = projections(record([4, 5, -1, -1, -1, -1, -1, -1, -1]), torch.ones(4, 4))
    assert change_since(two, two).overlap == 1.0


def test_a_map_that_no_image_excites_is_dead():
    top = record(range(9), strongest=0.0)
    assert change_since(projections(top, torch.zeros(4, 4)), None).dead == 1.0


def test_dead_maps_have_a_column_of_their_own_and_no_part_in_overlap_and_similarity():
    """Of four maps two are dead, with the same first images in every record and projections of zeros."""
    image = torch.arange(9).repeat(4, 1)
    zeros = torch.zeros_like(image)
    score = torch.tensor([[1.0], [0.0], [1.0], [0.0]]).expand(4, 9)
    before = Top9(score, image, zeros, zeros)
    after = before._replace(image=torch.stack([image[0], image[1], image[2] + 6, image[3]]))  # map 2 keeps 6, 7 and 8
    strongest_before, strongest = torch.zeros(2, 4, 3, 4, 4)
    strongest_before[[0, 2]], strongest[0], strongest[2] = 1.0, 1.0, -1.0
    overlap, similarity, dead = change_since(
        EpochProjections(after, [0, 1, 2, 3], strongest), EpochProjections(before, [0, 1, 2, 3], strongest_before)
    )
    assert abs(overlap - (1 + 1 / 3) / 2) < 1e-6 and abs(similarity - 0) < 1e-6 and dead == 0.5
    two_maps = EpochProjections(before, [1, 0], strongest_before[:2].flip(0))
    assert abs(change_since(two_maps, two_maps).similarity - 1) < 1e-6  # shown maps are looked up by their numbers


def test_nothing_is_measured_of_a_layer_without_a_living_map():
    dead = projections(record(range(9), strongest=0.0), torch.zeros(4, 4))
    assert change_since(dead, dead).columns == {"dead": 1.0}
