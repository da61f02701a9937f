import json

import pytest

from convscope.analyses.claims.compute.depth import deeper
from convscope.engine.layer_roles import LayerRoles
from convscope.errors import UserError
from convscope.runs.reading import read_run

LAYERS = LayerRoles("conv1", "conv5", "fc7")


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
    claim = deeper(read_run(run), transfer, LAYERS, seed=0)
    assert claim.value == pytest.approx(0.10) and claim.n == 6 and claim.verdict == "holds"
    assert "conv1 32.5%, fc7 42.5% at 30 images of each class" in claim.because


def test_a_last_layer_that_is_worse_does_not_hold(folders):
    run, transfer = folders
    filled(transfer, [-9, -10, -11, -10, -9, -11])
    assert deeper(read_run(run), transfer, LAYERS, seed=0).verdict == "does not hold"


def test_five_folds_are_too_few(folders):
    run, transfer = folders
    filled(transfer, [9, 10, 11, 10, 9])
    claim = deeper(read_run(run), transfer, LAYERS, seed=0)
    assert claim.verdict == "not enough data" and "5 independent cases, a verdict takes 6" in claim.because


def test_without_a_transfer_it_says_what_to_type(folders):
    claim = deeper(read_run(folders[0]), None, LAYERS, seed=0)
    assert claim.verdict == "not enough data" and "job=transfer ckpt=" in claim.because


def test_another_net_or_no_transfer_at_all_is_refused(folders, tmp_path):
    run, transfer = folders
    with pytest.raises(UserError, match="is no folder of a finished job=transfer"):
        deeper(read_run(run), transfer, LAYERS, seed=0)
    filled(transfer, [1] * 6)
    (transfer / ".hydra" / "config.yaml").write_text(f"ckpt: {tmp_path}/other/checkpoints/last.ckpt\n")
    with pytest.raises(UserError, match="looked at another net than"):
        deeper(read_run(run), transfer, LAYERS, seed=0)


def test_layers_that_were_not_transferred_are_told(folders):
    run, transfer = folders
    filled(transfer, [1] * 6)
    claim = deeper(read_run(run), transfer, LayerRoles("features.0", "features.9", "classifier.3"), seed=0)
    assert claim.n == 0 and "has no accuracies of features.0 and classifier.3" in claim.because


def test_a_transfer_on_the_nets_own_training_images_cannot_tell(folders):
    run, transfer = folders
    filled(transfer, [9, 10, 11, 10, 9, 11])
    (transfer / "summary.json").write_text(json.dumps({"job": "transfer", "own_images": True}))
    claim = deeper(read_run(run), transfer, LAYERS, seed=0)
    assert claim.verdict == "not enough data" and "took the images that the net was trained on" in claim.because
