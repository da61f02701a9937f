"""Which epochs Fig. 4 shows, and the sheets that a training run leaves."""

import json

import torch

from convscope.analyses.visualize.about import FeatureConfig
from convscope.engine.projection_rule import RuleChoice
from convscope.training.evolution import FeatureEvolution, _spread


def test_the_epochs_of_fig_4_are_spread_towards_the_beginning():
    assert _spread([1, 2, 5], 12) == [1, 2, 5]
    shown = _spread(list(range(1, 65)), 12)
    assert shown[0] == 1 and shown[-1] == 64 and len(shown) <= 12
    gaps = [b - a for a, b in zip(shown, shown[1:], strict=False)]
    assert gaps == sorted(gaps)


def test_a_layers_rule_is_measured_once_and_said_at_every_epoch(trained):
    """conv1 of a ZFNet looks the same by every rule; the others are chains with max pooling."""
    state = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["FeatureEvolution"]
    rules = {layer: RuleChoice(**rule) for layer, rule in state["rules"].items()}
    assert list(rules) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert all(rule.rule == "deconvnet" and rule.chain and rule.measured for rule in rules.values())
    lines = [json.loads(line) for line in (trained / "index.jsonl").read_text().splitlines()]
    grids = [line for line in lines if line["name"].startswith("top9/")]
    assert len(grids) == 10 and {line["epoch"] for line in grids} == {1, 2}
    for line in grids:
        assert line["sheet"]["rule"] == rules[line["layer"]].words and rules[line["layer"]].words in line["caption"]


def test_a_run_of_version_0_1_goes_on_with_the_deconvnet_that_its_numbers_were_made_with():
    assert FeatureConfig(None, 4, None, "val").rule == "deconvnet"
    callback = FeatureEvolution(None, None, FeatureConfig(None, 4, None, "val"), 0)
    callback.load_state_dict({"rows": "", "previous": {}, "pictured": []})
    assert callback.rules == {}
