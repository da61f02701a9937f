"""Claims on run folders that are written by hand, so that what must come out is known."""

import json

import pytest
import torch
import yaml
from safetensors.torch import save_file

from convscope.analyses.claims.compute.histories import (
    convergence,
    dead_filters,
    depth,
    first_layer,
    first_stride,
    renormalization,
    top9_records,
)
from convscope.engine.layers import LayerRoles
from convscope.engine.top9 import Top9, to_arrays
from convscope.errors import UserError
from convscope.runs.reading import read_run

MAPS = 24


def top9(starts, score=1.0):
    """A record whose map i is excited by images starts[i] to starts[i] + 8."""
    image = torch.tensor(starts)[:, None] + torch.arange(9)
    nowhere = torch.zeros_like(image)
    return Top9(torch.full(image.shape, score), image, nowhere, nowhere.clone())


def history(settles, epochs=6):
    """By epoch the records of layers whose maps see new images until the epoch `settles` names."""
    records = {}
    for epoch in range(1, epochs + 1):
        records[epoch] = {layer: top9([100 * min(epoch, at - 1)] * MAPS) for layer, at in settles.items()}
    return records


def run(folder, records=None, *, stride=2, kernel=7, renorm=0.1, weight=None, lr=0.01, at_radius=0.5, **changed):
    """A run folder in the documented form, and what a viewer reads of it."""
    (folder / ".hydra").mkdir(parents=True)
    rows = {"conv1": {"kind": "conv", "maps": MAPS, "kernel": kernel, "stride": stride}, "fc": {"kind": "full"}}
    model = {"name": "zfnet", "width": 1.0, "layers": rows}
    settings = {"job": "train", "seed": 0, "name": folder.name, "model": model, "optim": {"renorm": renorm, "lr": lr}}
    (folder / ".hydra/config.yaml").write_text(yaml.safe_dump(settings | changed))
    (folder / "metrics.csv").write_text(f"epoch,lr,renorm/conv1\n1,0.01,0\n2,0.00001,{at_radius}\n")
    (folder / "top9").mkdir()
    for epoch, tops in (records or {1: {"conv1": top9([0] * MAPS)}}).items():
        save_file(to_arrays(tops), folder / f"top9/epoch_{epoch:03d}.safetensors")
    (folder / "checkpoints").mkdir()
    weight = torch.ones(MAPS, 3, kernel, kernel) if weight is None else weight
    net = {"source": "made up", "name": "one layer", "image_size": 64, "classes": 2}
    checkpoint = {"convscope": {"net": net}, "state_dict": {"net.conv1.weight": weight}}
    torch.save(checkpoint, folder / "checkpoints/last.ckpt")
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
    training = run(tmp_path / "run", history(dict(zip(LAYERS, settles, strict=True))))
    claim = convergence(training, LAYERS, seed=0)
    assert claim.verdict == expected and claim.n == 3 * MAPS
    assert f"conv1 {settles[0]}, conv2 {settles[1]}, conv3 {settles[2]}; 0 maps have not settled" in claim.because
    assert "the learning rate fell from 0.01 to 1e-05" in claim.because


def test_depth_is_the_nets_order_not_the_files(tmp_path):
    training = run(tmp_path / "run", history({"conv1": 5, "conv2": 3, "stem": 2}))
    assert convergence(training, ["stem", "conv2", "conv1"], seed=0).verdict == "holds"


@pytest.mark.parametrize(
    ("epochs", "layers", "message"),
    [
        (3, ["conv1", "conv2"], "run shows 2 layers at 3 epochs; 4 epochs"),
        (6, ["conv1"], "run shows 1 layers at 6 epochs"),
    ],
)
def test_few_epochs_or_layers_say_nothing(tmp_path, epochs, layers, message):
    claim = convergence(run(tmp_path / "run", history(dict.fromkeys(layers, 2), epochs)), layers, seed=0)
    assert claim.verdict == "not enough data" and message in claim.because and "evolution=every" in claim.because


def last_record(dead):
    top = top9([0] * MAPS)
    top.score[:dead] = 0
    return {1: {"conv1": top9([0] * MAPS)}, 2: {"conv1": top}}  # the last record counts


@pytest.mark.parametrize(
    ("dead_2", "dead_4", "expected"),
    [(0, 12, "holds"), (12, 0, "does not hold"), (0, 0, "not enough data"), (2, 3, "not enough data")],
)
def test_strides_are_compared(tmp_path, dead_2, dead_4, expected):
    small = run(tmp_path / "small", last_record(dead_2))
    large = run(tmp_path / "large", last_record(dead_4), stride=4, kernel=11)
    claim = dead_filters(small, [large])
    assert claim.verdict == expected and claim[4:8] == dead_filters(large, [small])[4:8]  # whichever is this run
    assert f"stride 2: {dead_2} of 24 dead; stride 4: {dead_4} of 24 dead" in claim.because


def test_several_runs_of_a_stride_are_put_together(tmp_path):
    small = run(tmp_path / "small", last_record(0))
    rivals = [run(tmp_path / f"large{seed}", last_record(6), stride=4, seed=seed) for seed in range(2)]
    assert "stride 4: 12 of 48 dead, over 3 runs" in dead_filters(small, rivals).because


def test_a_filter_without_weights_is_dead(tmp_path):
    weight = torch.ones(MAPS, 3, 7, 7)
    weight[3] = 0
    layer = first_layer(run(tmp_path / "run", last_record(2), weight=weight))
    assert (layer.name, layer.stride, layer.dead) == ("conv1", 2, 3)


@pytest.mark.parametrize("changed", [{"stride": 2}, {"stride": 4, "renorm": None}, {"stride": 4, "lr": 0.1}])
def test_a_run_that_differs_in_more_than_the_stride_is_no_evidence(tmp_path, changed):
    claim = dead_filters(run(tmp_path / "one", last_record(0)), [run(tmp_path / "two", last_record(12), **changed)])
    assert claim.verdict == "not enough data" and "none of the 1 other runs is alike but for" in claim.because


def test_without_other_runs_it_says_what_to_type(tmp_path):
    for claim in (dead_filters(run(tmp_path / "a"), []), renormalization(run(tmp_path / "b"), [], 0)):
        assert claim.verdict == "not enough data" and claim.because.startswith("there is no other run alike but for")
        assert "experiment=first_layers" in claim.because and "claims.against" in claim.because


def test_a_net_without_rows_has_no_stride_to_compare(tmp_path):
    claim = dead_filters(run(tmp_path / "run", model={"name": "resnet18"}), [])
    assert claim.verdict == "not enough data" and "no table of rows" in claim.because


def test_runs_that_show_no_first_layer_are_no_evidence(tmp_path):
    records = {1: {"conv2": top9([0] * MAPS)}}
    claim = dead_filters(run(tmp_path / "one", records), [run(tmp_path / "two", records, stride=4)])
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
    renormalized = run(tmp_path / "renormalized", weight=with_.contiguous())
    free = run(tmp_path / "free", renorm=None, weight=without.contiguous())
    claim = renormalization(renormalized, [free], seed=0)
    assert claim.verdict == expected and claim[4:8] == renormalization(free, [renormalized], seed=0)[4:8]


def test_renormalization_that_never_acted_proves_nothing(tmp_path):
    renormalized = run(tmp_path / "renormalized", at_radius=0)
    claim = renormalization(renormalized, [run(tmp_path / "free", renorm=None, weight=DOMINATED)], seed=0)
    assert claim.verdict == "not enough data" and claim.n == 0
    assert "no filter was at the radius 0.1" in claim.because and "1.00 with" in claim.because


def test_records_by_epoch_and_layer(tmp_path):
    training = run(tmp_path / "run", history({"conv1": 2, "conv2": 3}, epochs=2))
    assert {epoch: sorted(tops) for epoch, tops in top9_records(training.folder).items()} == {
        1: ["conv1", "conv2"],
        2: ["conv1", "conv2"],
    }
    assert top9_records(tmp_path) == {}


def test_the_first_convolution_that_was_not_removed_counts():
    rows = {"conv0": None, "pool": {"kind": "pool", "stride": 9}, "conv1": {"kind": "conv", "stride": 3}}
    assert first_stride({"model": {"layers": rows}}) == 3
    assert first_stride({"model": {"layers": {"conv1": {"kind": "conv"}}}}) == 1
    assert first_stride({}) is None


HIDDEN = LayerRoles("conv1", "conv5", "fc7")


@pytest.fixture
def folders(tmp_path):
    """A training run, and a job=transfer on its checkpoint without accuracies yet."""
    run, transfer = tmp_path / "run", tmp_path / "transfer"
    (run / "checkpoints").mkdir(parents=True)
    (run / "summary.json").write_text("{}")
    (transfer / ".hydra").mkdir(parents=True)
    (transfer / ".hydra" / "config.yaml").write_text(f"ckpt: {run}/checkpoints/last.ckpt\n")
    (transfer / "summary.json").write_text(json.dumps({"job": "transfer"}))
    (transfer / "tables" / "transfer").mkdir(parents=True)
    return run, transfer


def filled(transfer, gains):
    """Accuracies of conv1 30, 31, ... and of fc7 those plus `gains`; other classifiers, nets and sizes as decoys."""
    lines = ["net,layer,classifier,per_class,fold,c,accuracy"]
    for fold, gain in enumerate(gains):
        for layer, value in (("conv1", 30 + fold), ("fc7", 30 + fold + gain)):
            lines.append(f"mine,{layer},svm,30,{fold},10,{value}")
            lines.append(f"mine,{layer},svm,5,{fold},10,1")
            lines.append(f"mine,{layer},softmax,30,{fold},10,2")
            lines.append(f"random,{layer},svm,30,{fold},10,3")
    (transfer / "tables" / "transfer" / "trials.csv").write_text("\n".join(lines) + "\n")


def test_the_excess_is_that_of_the_last_layer_over_the_first_fold_by_fold(folders):
    run, transfer = folders
    filled(transfer, [9, 10, 11, 10, 9, 11])
    claim = depth(read_run(run), transfer, HIDDEN, seed=0)
    assert claim.value == pytest.approx(0.10) and claim.n == 6 and claim.verdict == "holds"
    assert "conv1 32.5%, fc7 42.5% at 30 images of each class" in claim.because


def test_five_folds_are_too_few(folders):
    run, transfer = folders
    filled(transfer, [9, 10, 11, 10, 9])
    claim = depth(read_run(run), transfer, HIDDEN, seed=0)
    assert claim.verdict == "not enough data" and "5 independent cases, a verdict takes 6" in claim.because


def test_without_a_transfer_it_says_what_to_type(folders):
    claim = depth(read_run(folders[0]), None, HIDDEN, seed=0)
    assert claim.verdict == "not enough data" and "job=transfer ckpt=" in claim.because


def test_another_net_or_no_transfer_at_all_is_refused(folders, tmp_path):
    run, transfer = folders
    with pytest.raises(UserError, match="is no folder of a finished job=transfer"):
        depth(read_run(run), transfer, HIDDEN, seed=0)
    filled(transfer, [1] * 6)
    (transfer / ".hydra" / "config.yaml").write_text(f"ckpt: {tmp_path}/other/checkpoints/last.ckpt\n")
    with pytest.raises(UserError, match="looked at another net than"):
        depth(read_run(run), transfer, HIDDEN, seed=0)


def test_a_transfer_of_a_pretrained_net_is_that_of_the_same_weights(folders):
    _, transfer = folders
    filled(transfer, [9, 10, 11, 10, 9, 11])
    config = transfer / ".hydra" / "config.yaml"
    with pytest.raises(UserError, match="looked at another net than model.weights=a.pth"):  # but at a checkpoint
        depth({"source": "torchvision", "weights": "a.pth"}, transfer, HIDDEN, seed=0)
    config.write_text("ckpt: null\nmodel: {source: torchvision, weights: a.pth}\n")
    assert depth({"source": "torchvision", "weights": "a.pth"}, transfer, HIDDEN, seed=0).verdict == "holds"
    with pytest.raises(UserError, match="looked at another net than model.weights=b.pth"):
        depth({"source": "torchvision", "weights": "b.pth"}, transfer, HIDDEN, seed=0)


def test_layers_that_were_not_transferred_are_told(folders):
    run, transfer = folders
    filled(transfer, [1] * 6)
    claim = depth(read_run(run), transfer, LayerRoles("features.0", "features.9", "classifier.3"), seed=0)
    assert claim.n == 0 and "has no accuracies of features.0 and classifier.3" in claim.because


def test_a_transfer_on_the_nets_own_training_images_cannot_tell(folders):
    run, transfer = folders
    filled(transfer, [9, 10, 11, 10, 9, 11])
    (transfer / "summary.json").write_text(json.dumps({"job": "transfer", "own_images": True}))
    claim = depth(read_run(run), transfer, HIDDEN, seed=0)
    assert claim.verdict == "not enough data" and "took the images that the net was trained on" in claim.because
