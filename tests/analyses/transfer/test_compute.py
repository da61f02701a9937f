"""C is chosen on training images alone; nets that are treated alike; tables beside the papers'."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from convscope.analyses.transfer.about import TransferConfig
from convscope.analyses.transfer.compute import TransferResults, Trial, trials
from convscope.analyses.transfer.compute.feature_files import StoredFeatures
from convscope.analyses.transfer.compute.feature_pass import DENSE, DenseScales, dense_scales
from convscope.analyses.transfer.job import figure9
from convscope.analyses.transfer.job.tables import accuracy_by_images, table11
from convscope.errors import UserError
from convscope.metrics.linear_probe import folds

NAMES = ["cat", "dog"]
LABELS = np.repeat([0, 1], 60)
CPU = torch.device("cpu")
PLAN = TransferConfig(
    classifiers=["svm"], per_class=[20], test_per_class=40, folds=1, c=[0.01, 1000], unit_length=False
)


def misleading():
    """Features [120, 2] whose weak second one tells training images apart, and misleads on those of the test.

    The strong first one is right on three of five. A large C uses the weak one: best for training, worst for the test.
    """
    fold = folds(LABELS, NAMES, 20, 40, 1, seed=0)[0]
    sign = 2.0 * LABELS - 1
    draw = np.random.default_rng(0)
    strong = sign * np.where(np.arange(120) % 5 < 2, -1, 1) + 0.1 * draw.standard_normal(120)
    weak = 0.2 * sign
    weak[fold.test] *= -1
    return np.stack([strong, weak], 1).astype(np.float32), fold


def held(features):
    return {"net": StoredFeatures({"fc": features}, LABELS)}


def test_c_is_chosen_on_training_images_though_another_is_better_on_the_test():
    features, fold = misleading()
    (trial,) = trials(held(features), NAMES, PLAN, 0, CPU)
    assert trial.c == 1000
    train, test = fold.of(20), fold.test
    center, spread = features[train].mean(0), np.sqrt(features[train].var(0).sum())
    scaled = (features - center) / spread
    right = {
        c: LinearSVC(C=c, intercept_scaling=100).fit(scaled[train], LABELS[train]).score(scaled[test], LABELS[test])
        for c in PLAN.c
    }
    assert right[0.01] > right[1000] + 0.2
    assert trial.accuracy == pytest.approx(right[1000], abs=0.03)


def test_test_images_have_no_say_in_c():
    features, fold = misleading()
    (before,) = trials(held(features), NAMES, PLAN, 0, CPU)
    features[fold.test] = features[fold.test][::-1]  # each test label now stands by another image
    (after,) = trials(held(features), NAMES, PLAN, 0, CPU)
    assert after.c == before.c and after.accuracy != before.accuracy


def test_nets_see_the_same_folds():
    features, _ = misleading()
    both = {"one": StoredFeatures({"fc": features}, LABELS), "other": StoredFeatures({"fc": features.copy()}, LABELS)}
    first, second = trials(both, NAMES, PLAN, 0, CPU)
    assert (first.net, second.net) == ("one", "other") and first[1:] == second[1:]


def results(source, nets=("this net", "random weights"), layers=("conv1", "fc7"), sizes=(5, 30)):
    """Two folds: 10 points below and above 50 for the first net and 30 for the second, 5 more on the second layer."""
    all_trials = [
        Trial(net, layer, "svm", size, fold, 1.0, (50 - 20 * n + 5 * at + (10 if fold else -10)) / 100)
        for n, net in enumerate(nets) for at, layer in enumerate(layers) for size in sizes for fold in range(2)
    ]  # fmt: skip
    subject = SimpleNamespace(data_name=source, net=None, data=SimpleNamespace(classes=NAMES))
    return TransferResults(subject, list(layers), all_trials)


def test_accuracy_by_images_stands_beside_the_papers():
    table = accuracy_by_images(results("caltech101"), "conv1")
    rows = {(row["net"], row["features"]): row for row in table.rows}
    assert table.name == "transfer/table4" and "not comparable" not in table.caption
    assert rows["this net", "conv1, svm"]["30 per class"] == "50.0 ± 14.1"  # 14.1: of 40 and 60
    assert rows["random weights", "fc7, svm"]["5 per class"] == "35.0 ± 14.1"
    assert rows["this net", "fc7, svm"]["15 per class"] == ""
    assert rows["Zeiler & Fergus, pretrained", ""] == {
        "net": "Zeiler & Fergus, pretrained", "features": "", "5 per class": "", "15 per class": "83.8 ± 0.5",
        "30 per class": "86.5 ± 0.5", "beside ours": "same images",
    }  # fmt: skip
    assert rows["Bo et al. 2013", ""]["15 per class"] == ""


def test_other_images_are_not_comparable():
    table = accuracy_by_images(results("folder"), "fc7")
    assert table.name == "transfer/by_images" and "not comparable" in table.caption
    theirs = [row for row in table.rows if not row["features"]]
    assert len(theirs) == 4 and {row["beside ours"] for row in theirs} == {"not comparable"}
    assert accuracy_by_images(results("caltech256"), "fc7").name == "transfer/table5"


def test_dense_features_stand_beside_vgg():
    table = table11(results("caltech256", layers=("fc7", DENSE)), DenseScales((256, 384), True))
    rows = {row["net"]: row for row in table.rows}
    assert rows["this net, dense, svm"]["Caltech-256"] == "55.0 ± 14.1"
    assert rows["this net, dense, svm"]["Caltech-101"] == ""
    assert rows["E"]["Caltech-101"] == "92.3 ± 0.5" and "not comparable" in table.caption
    of_other_images = table11(results("folder", layers=("fc7", DENSE)), DenseScales((256, 384), True))
    assert of_other_images.rows[1]["here"] == "50.0 ± 14.1"


def test_the_curves_have_both_nets():
    figure = figure9(results("caltech256")).image
    left, right = figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in left.get_lines()}
    assert np.allclose(drawn["SVM"], [50, 55]) and np.allclose(drawn["random weights"], [30, 35])
    drawn = {line.get_label(): line.get_ydata() for line in right.get_lines()}
    assert np.allclose(drawn["random weights, fc7"], [35, 35])


def test_scales_are_in_proportion_to_the_net():
    assert dense_scales(None, 224, "stack") == DenseScales((256, 384, 512), True)
    assert dense_scales([64, 80], 64, "average") == DenseScales((64, 80), False)
    with pytest.raises(UserError, match="transfer.scales has 63, and the net sees 64 x 64"):
        dense_scales([96, 63], 64, "stack")


@pytest.mark.parametrize(("settings", "message"), [
    ({"features": "all"}, "possible: layers, dense"), ({"pool": "max"}, "possible: stack, average"),
    ({"scales": [64]}, r"transfer.scales=\[64\] are sides .* transfer.features=dense"),
])  # fmt: skip
def test_settings_of_features_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        TransferConfig(**settings)
