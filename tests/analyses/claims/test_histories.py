"""Claims on run folders that are written by hand, so that what must come out is known."""

import pytest
import torch
import yaml
from safetensors.torch import save_file

from convscope.analyses.claims.compute.histories import (
    dead_filters,
    first,
    first_stride,
    records,
    renormalization,
    settling,
)
from convscope.engine.top9 import Top9, to_arrays
from convscope.runs.reading import read_run

MAPS = 24


def top9(starts, score=1.0):
    """A record whose map i is excited by images starts[i] to starts[i] + 8."""
    image = torch.tensor(starts)[:, None] + torch.arange(9)
    nowhere = torch.zeros_like(image)
    return Top9(torch.full(image.shape, score), image, nowhere, nowhere.clone())


def history(settles, epochs=6):
    """By epoch the records of layers whose maps see new images until the epoch `settles` names."""
    shown = {}
    for epoch in range(1, epochs + 1):
        shown[epoch] = {layer: top9([100 * min(epoch, at - 1)] * MAPS) for layer, at in settles.items()}
    return shown


def run(folder, shown=None, *, stride=2, kernel=7, renorm=0.1, weight=None, lr=0.01, held=0.5, **other):
    """A run folder in the documented form, and what a viewer reads of it."""
    (folder / ".hydra").mkdir(parents=True)
    rows = {"conv1": {"kind": "conv", "maps": MAPS, "kernel": kernel, "stride": stride}, "fc": {"kind": "full"}}
    model = {"name": "zfnet", "width": 1.0, "layers": rows}
    settings = {"job": "train", "seed": 0, "name": folder.name, "model": model, "optim": {"renorm": renorm, "lr": lr}}
    (folder / ".hydra/config.yaml").write_text(yaml.safe_dump(settings | other))
    (folder / "metrics.csv").write_text(f"epoch,lr,renorm/conv1\n1,0.01,0\n2,0.00001,{held}\n")
    (folder / "top9").mkdir()
    for epoch, tops in (shown or {1: {"conv1": top9([0] * MAPS)}}).items():
        save_file(to_arrays(tops), folder / f"top9/epoch_{epoch:03d}.safetensors")
    (folder / "checkpoints").mkdir()
    weight = torch.ones(MAPS, 3, kernel, kernel) if weight is None else weight
    net = {"source": "made up", "name": "one layer", "image_size": 64, "classes": 2}
    held = {"convscope": {"net": net}, "state_dict": {"net.conv1.weight": weight}}
    torch.save(held, folder / "checkpoints/last.ckpt")
    return read_run(folder)


LAYERS = ["conv1", "conv2", "conv3"]


@pytest.mark.parametrize(
    ("settles", "expected"),
    [
        ((2, 3, 5), "holds"),
        ((5, 3, 2), "does not hold"),
        ((3, 3, 3), "not enough data"),  # all together: there is no order
    ],
)
def test_settling_is_read_from_the_records(tmp_path, settles, expected):
    made = run(tmp_path / "run", history(dict(zip(LAYERS, settles, strict=True))))
    claim = settling(made, LAYERS, seed=0)
    assert claim.verdict == expected and claim.n == 3 * MAPS
    assert f"conv1 {settles[0]}, conv2 {settles[1]}, conv3 {settles[2]}; 0 maps have not settled" in claim.because
    assert "the learning rate fell from 0.01 to 1e-05" in claim.because


def test_depth_is_the_nets_order_not_the_files(tmp_path):
    made = run(tmp_path / "run", history({"conv1": 5, "conv2": 3, "stem": 2}))
    assert settling(made, ["stem", "conv2", "conv1"], seed=0).verdict == "holds"


@pytest.mark.parametrize(
    ("epochs", "layers", "told"),
    [
        (3, ["conv1", "conv2"], "run shows 2 layers at 3 epochs; 4 epochs"),
        (6, ["conv1"], "run shows 1 layers at 6 epochs"),
    ],
)
def test_few_epochs_or_layers_say_nothing(tmp_path, epochs, layers, told):
    claim = settling(run(tmp_path / "run", history(dict.fromkeys(layers, 2), epochs)), layers, seed=0)
    assert claim.verdict == "not enough data" and told in claim.because and "evolution=every" in claim.because


def first_layer(dead):
    top = top9([0] * MAPS)
    top.score[:dead] = 0
    return {1: {"conv1": top9([0] * MAPS)}, 2: {"conv1": top}}  # the last record counts


@pytest.mark.parametrize(
    ("dead_2", "dead_4", "expected"),
    [(0, 12, "holds"), (12, 0, "does not hold"), (0, 0, "not enough data"), (2, 3, "not enough data")],
)
def test_strides_are_compared(tmp_path, dead_2, dead_4, expected):
    small = run(tmp_path / "small", first_layer(dead_2))
    large = run(tmp_path / "large", first_layer(dead_4), stride=4, kernel=11)
    claim = dead_filters(small, [large])
    assert claim.verdict == expected and claim[4:8] == dead_filters(large, [small])[4:8]  # whichever is this run
    assert f"stride 2: {dead_2} of 24 dead; stride 4: {dead_4} of 24 dead" in claim.because


def test_several_runs_of_a_stride_are_put_together(tmp_path):
    small = run(tmp_path / "small", first_layer(0))
    others = [run(tmp_path / f"large{seed}", first_layer(6), stride=4, seed=seed) for seed in range(2)]
    assert "stride 4: 12 of 48 dead, over 3 runs" in dead_filters(small, others).because


def test_a_filter_without_weights_is_dead(tmp_path):
    weight = torch.ones(MAPS, 3, 7, 7)
    weight[3] = 0
    found = first(run(tmp_path / "run", first_layer(2), weight=weight))
    assert (found.name, found.stride, found.dead) == ("conv1", 2, 3)


@pytest.mark.parametrize("other", [{"stride": 2}, {"stride": 4, "renorm": None}, {"stride": 4, "lr": 0.1}])
def test_a_run_that_differs_in_more_than_the_stride_is_no_evidence(tmp_path, other):
    claim = dead_filters(run(tmp_path / "one", first_layer(0)), [run(tmp_path / "two", first_layer(12), **other)])
    assert claim.verdict == "not enough data" and "none of the 1 other runs is alike but for" in claim.because


def test_without_other_runs_it_says_what_to_type(tmp_path):
    for claim in (dead_filters(run(tmp_path / "a"), []), renormalization(run(tmp_path / "b"), [], 0)):
        assert claim.verdict == "not enough data" and claim.because.startswith("there is no other run alike but for")
        assert "experiment=first_layers" in claim.because and "claims.against" in claim.because


def test_a_net_without_rows_has_no_stride_to_compare(tmp_path):
    claim = dead_filters(run(tmp_path / "run", model={"name": "resnet18"}), [])
    assert claim.verdict == "not enough data" and "no table of rows" in claim.because


def test_runs_that_show_no_first_layer_are_no_evidence(tmp_path):
    shown = {1: {"conv2": top9([0] * MAPS)}}
    claim = dead_filters(run(tmp_path / "one", shown), [run(tmp_path / "two", shown, stride=4)])
    assert claim.verdict == "not enough data" and "evolution=every" in claim.because


EVEN = torch.linspace(0.05, 0.09, MAPS)[:, None, None, None].expand(-1, 3, 7, 7)
DOMINATED = EVEN.clone()
DOMINATED[-6:] = 5.0


@pytest.mark.parametrize(
    ("with_", "without", "expected"),
    [
        (EVEN, DOMINATED, "holds"),
        (DOMINATED, EVEN, "does not hold"),
        (EVEN, EVEN, "does not hold"),
    ],
)
def test_renormalization_is_compared(tmp_path, with_, without, expected):
    held, free = (
        run(tmp_path / "held", weight=with_.contiguous()),
        run(tmp_path / "free", renorm=None, weight=without.contiguous()),
    )
    claim = renormalization(held, [free], seed=0)
    assert claim.verdict == expected and claim[4:8] == renormalization(free, [held], seed=0)[4:8]


def test_renormalization_that_never_acted_proves_nothing(tmp_path):
    held, free = run(tmp_path / "held", held=0), run(tmp_path / "free", renorm=None, weight=DOMINATED)
    claim = renormalization(held, [free], seed=0)
    assert claim.verdict == "not enough data" and claim.n == 0
    assert "no filter was at the radius 0.1" in claim.because and "1.00 with" in claim.because


def test_records_by_epoch_and_layer(tmp_path):
    made = run(tmp_path / "run", history({"conv1": 2, "conv2": 3}, epochs=2))
    assert {epoch: sorted(tops) for epoch, tops in records(made.folder).items()} == {
        1: ["conv1", "conv2"],
        2: ["conv1", "conv2"],
    }
    assert records(tmp_path) == {}


def test_the_first_convolution_that_was_not_removed_counts():
    rows = {"conv0": None, "pool": {"kind": "pool", "stride": 9}, "conv1": {"kind": "conv", "stride": 3}}
    assert first_stride({"model": {"layers": rows}}) == 3
    assert first_stride({"model": {"layers": {"conv1": {"kind": "conv"}}}}) == 1
    assert first_stride({}) is None
