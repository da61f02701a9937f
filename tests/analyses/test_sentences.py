"""What analyses say first: the numbers and the words, from values chosen by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from convscope.analyses.check_data.job import in_words as data_in_words
from convscope.analyses.claims.compute import (
    CONVERGENCE,
    DEPTH,
    FAILS,
    HOLDS,
    OCCLUSION,
    OPEN,
    SHIFT,
    judge,
    unmeasured,
)
from convscope.analyses.claims.job import in_words as claims_in_words
from convscope.analyses.correspondence.job import in_words as correspondence_in_words
from convscope.analyses.diagnosis.compute import verdicts
from convscope.analyses.diagnosis.compute.verdicts import Count
from convscope.analyses.diagnosis.job import in_words as diagnosis_in_words
from convscope.analyses.evaluation.job import in_words as evaluation_in_words
from convscope.analyses.neighbors.job import ClassAgreement
from convscope.analyses.neighbors.job import in_words as neighbors_in_words
from convscope.analyses.occlusion.job import in_words as occlusion_in_words
from convscope.analyses.overlap.job import in_words as overlap_in_words
from convscope.analyses.transfer.compute import TransferResults, Trial
from convscope.analyses.transfer.job.tables import in_words as transfer_in_words
from convscope.analyses.visualize.job import class_shares
from convscope.analyses.visualize.job import in_words as visualize_in_words
from convscope.engine.top9 import Top9
from convscope.metrics.intervals import Interval
from convscope.metrics.localization import LocalizationRates
from convscope.report.convergence import accuracy_in_words


def wilson(count, total):
    """The ends of Wilson's interval in percent, by its formula."""
    share, z = count / total, 1.959963984540054
    middle, width = (
        share + z * z / (2 * total),
        z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)),
    )
    return "[{:.1f}, {:.1f}]".format(*(100 * (middle + sign * width) / (1 + z * z / total) for sign in (-1, 1)))


ON = Interval(0.2, 0.1, 0.3, 40)  # probability lost on rather than off the object
NOT_ON = Interval(0.002, -0.004, 0.008, 40)
UNCLEAR = Interval(0.01, -0.02, 0.04, 40)


@pytest.mark.parametrize(
    ("drop", "words"),
    [
        (ON, "Covering the object costs 0.200 [0.100, 0.300] more than covering the rest."),
        (NOT_ON, "(difference 0.00200 [-0.00400, 0.00800]): this net hardly uses it."),
        (UNCLEAR, "(difference 0.0100 [-0.0200, 0.0400]): more images would tell."),
        (ON._replace(n=3), "the image's center in 75.0 % [60.0, 86.0]."),  # too few images for a verdict
    ],
)
def test_whether_the_object_counts_is_the_verdict_of_its_interval(drop, words):
    share = Interval(0.5, 0.35, 0.65, 40), Interval(0.75, 0.6, 0.86, 40), Interval(0.25, 0.2, 0.3, 40)
    rates = {"mask": LocalizationRates(*share, Interval(-0.25, -0.4, -0.1, 40), drop)}
    rows = [{"p": 0.9, "lowest p": 0.9 - lost} for lost in (0.1, 0.2, 0.6)]
    sentence = occlusion_in_words(24, rows, rates)
    assert sentence.startswith("A square of 24 pixels at its worst place takes 0.30 [0.00, ")
    assert "(mean of 3 images, at most 0.60). The worst place lies on the object, by its mask, in 50.0 % [" in sentence
    assert "a place at random in 25.0 % [20.0, 30.0]" in sentence and sentence.endswith(words)


def test_of_one_image_there_is_no_interval():
    sentence = occlusion_in_words(8, [{"p": 0.75, "lowest p": 0.5}], {})
    assert (
        sentence
        == "A square of 8 pixels at its worst place takes 0.25 off the probability of the class of the one image."
    )


def gaps(**ends):
    """Layer -> the difference of both measures, from its ends."""
    return {
        layer: {measure: Interval((low + high) / 2, low, high, 10) for measure, (low, high) in by_measure.items()}
        for layer, by_measure in ends.items()
    }


def test_parts_correspond_where_the_whole_interval_lies_below_zero():
    below, around, above = (-0.04, -0.02), (-0.01, 0.01), (0.1, 0.3)
    some = gaps(
        conv1={"distance": around, "opposite": around}, conv3={"distance": below, "opposite": around},
        conv4={"distance": below, "opposite": below}, fc7={"distance": above, "opposite": above},
    )  # fmt: skip
    sentence = correspondence_in_words(some)
    assert sentence.startswith("Parts correspond at conv3 (-0.0300 [-0.0400, -0.0200]) and conv4 (-0.0300 [")
    assert " only: share of features" in sentence and sentence.endswith("10 images. Among features that changed in "
        "both images, where chance is a half: conv4.")  # fmt: skip
    none = correspondence_in_words({layer: some[layer] for layer in ("conv1", "fc7")})
    assert none.startswith(
        "Parts correspond at no layer of conv1 to fc7 more than random places do; conv1 comes closest"
    )
    assert none.endswith(": none.")
    every = correspondence_in_words({layer: some[layer] for layer in ("conv3", "conv4")})
    assert ", at every layer: share" in every
    assert "correspond at conv4 (-0.0300 [-0.0400, -0.0200]): share" in correspondence_in_words(
        {"conv4": some["conv4"]}
    )
    many = gaps(**{f"conv{number}": {"distance": below, "opposite": below} for number in range(7)})
    strongest = gaps(conv9={"distance": (-0.08, -0.04), "opposite": around})
    assert correspondence_in_words(many | strongest).startswith(
        "Parts correspond at every layer, most at conv9 (-0.0600 ["
    )
    most = correspondence_in_words(many | {"fc8": some["fc7"]})
    assert most.startswith("Parts correspond at 7 of 8 layers, most at conv0 (") and most.endswith(": 7 of 8 layers.")
    assert "Parts do not correspond at fc7" in correspondence_in_words({"fc7": some["fc7"]})


def test_two_images_do_not_tell_where_parts_correspond():
    pair = Interval(-0.5, -math.inf, math.inf, 2)
    assert "take three" in correspondence_in_words({"conv1": {"distance": pair, "opposite": pair}})


def test_accuracy_of_one_net_and_of_several():
    right = Interval(0.75, 0.66, 0.83, 100)
    assert evaluation_in_words({"a": right}, 0.1, "val images", "; most often") == (
        "The net is right in 75.0 % [66.0, 83.0] of 100 val images (chance 10 %); most often."
    )
    both = {"a": right, "b": right._replace(value=0.8, low=0.7, high=0.87), "ensemble": right._replace(value=0.9)}
    assert "The ensemble is right in 90.0 %" in (words := evaluation_in_words(both, 0.1, "val images", ""))
    assert words.endswith("; b alone in 80.0 % [70.0, 87.0], the best of 2.")


@pytest.mark.parametrize(("share", "by_chance"), [((0.4, 0.3, 0.5), False), ((0.12, 0.05, 0.2), True)])
def test_neighbors_beside_those_drawn_blindly(share, by_chance):
    words = neighbors_in_words("fc7", 6, ClassAgreement(Interval(*share, 50), 0.1, 2 if by_chance else 0))
    assert words.startswith(f"In fc7, {100 * share[0]:.1f} % [")
    assert (
        "of the 6 nearest training images are of the image's class (50 validation images; drawn blindly 10.0 %" in words
    )
    assert ("no more than by chance" in words) is by_chance and ("2 of these images" in words) is by_chance


def test_claims_are_counted_by_their_verdicts():
    tested = [
        judge(SHIFT, Interval(0.3, 0.2, 0.4, 20), ""), judge(DEPTH, Interval(-0.1, -0.2, -0.05, 20), ""),
        judge(OCCLUSION, Interval(0.1, -0.2, 0.4, 20), ""), unmeasured(CONVERGENCE, "no run"),
    ]  # fmt: skip
    assert [claim.verdict for claim in tested] == [HOLDS, FAILS, OPEN, OPEN]
    assert claims_in_words(tested) == (
        "1 of the paper's 4 claims holds here, 1 does not, and for 2 there is not enough data. "
        f"Holds: {SHIFT.claim} (0.300 [0.200, 0.400]). Does not hold: {DEPTH.claim} (-0.100 [-0.200, -0.050])."
    )


def test_a_diagnosis_counts_the_numbers_beyond_their_thresholds():
    fine = [verdicts.dead_maps("conv1", Count(0, 20), True, 60), verdicts.logits("classes", 0.5)]
    unknown = verdicts.no_grid("conv2", "no grid")
    assert diagnosis_in_words([*fine, unknown]) == (
        "Nothing is wrong with this net by 2 checks, whose thresholds are ours."
    )
    wrong = [verdicts.dead_maps("conv2", Count(4, 20), False, 60), verdicts.dominance("conv1", 9.0, 0, None)]
    assert diagnosis_in_words([*fine, *wrong, unknown]) == (
        "2 of 4 checks fail, whose thresholds are ours: too many dead maps in conv2 (4 of 20 maps, by 60 images); "
        "a few dominate in conv1 (largest RMS is 9 x the median)."
    )


def test_every_verdict_beyond_a_threshold_is_a_fault():
    beyond = [
        verdicts.dead_maps("a", Count(1, 2), True, 9), verdicts.useless_filters("a", Count(1, 2), Count(0, 2)),
        verdicts.double_filters("a", Count(1, 2), (1, 0, 0)), verdicts.dominance("a", 3.0, 0, 0.1),
        verdicts.frequencies("a", (0.9, 0.05, 0.05), (0.1, 0.3, 0.6)), verdicts.logits("a", 0.95),
        verdicts.frequencies("a", (0.4, 0.1, 0.5), (0.1, 0.3, 0.6)), verdicts.grid("a", 4, 0.5, 0.1, (0.3, 0.5)),
        verdicts.units("a", Count(1, 2), Count(0, 2), 0.5),
    ]  # fmt: skip
    within = [
        verdicts.dead_maps("a", Count(1, 99), True, 9), verdicts.useless_filters("a", Count(1, 99), Count(0, 99)),
        verdicts.double_filters("a", Count(1, 99), (1, 0, 0)), verdicts.grid("a", 4, 0.12, 0.1, (0.01, 0.03)),
        verdicts.frequencies("a", (0.3, 0.4, 0.3), (0.1, 0.3, 0.6)), verdicts.units("a", Count(0, 2), Count(0, 2), 0.5),
    ]  # fmt: skip
    assert verdicts.faults([*beyond, *within]) == beyond


def test_transfer_says_the_best_layer_beside_chance_and_random_weights():
    shares = {"conv1": (0.40, 0.44), "conv5": (0.80, 0.84)}
    trials = [
        Trial(net, layer, "svm", 30, fold, 1.0, share - (0.3 if net == "random weights" else 0))
        for net in ("this net", "random weights")
        for layer, of_layer in shares.items()
        for fold, share in enumerate(of_layer)
    ]
    subject = SimpleNamespace(data=SimpleNamespace(classes=list("abcd")))
    words = transfer_in_words(TransferResults(subject, list(shares), trials))
    assert words.startswith("Linear classifiers on conv5, the best layer, reach 82.0 [")
    assert "% of 4 classes (SVM, 30 training images of each, 2 folds; chance 25 %)" in words
    assert (
        "; 30.0 [30.0, 30.0] points more than random weights. From conv1 to conv5 accuracy changes by 40.0 [" in words
    )
    assert "which may be chance" not in words


def test_copies_are_counted_once_and_beside_those_made_on_purpose():
    sets = SimpleNamespace(name="mine", total=200), SimpleNamespace(name="yours", total=300)
    matches = SimpleNamespace(first=torch.tensor([3, 3, 7]), best=torch.tensor([0.99, 0.5, 0.75, 0.98]).double())
    copies = [("smaller", torch.tensor([0.99, 0.98])), ("turned", torch.tensor([0.2, 0.99]))]
    assert overlap_in_words(sets, SimpleNamespace(matches=matches), copies, 0.97) == (
        "2 of 200 images (1.0 %) of mine have a copy in yours (correlation 0.97 or more; of the others the most alike "
        "come to 0.750). Of copies made on purpose such a search finds 100 % (smaller) to 50 % (turned)."
    )


def test_the_class_that_most_of_a_map_s_images_show():
    label = torch.tensor([[1, 1, 2, -1], [5, 5, 5, 5], [1, 2, 3, 4], [7, -1, -1, -1], [-1] * 4])
    assert class_shares(label).tolist() == pytest.approx([2 / 3, 1, 1 / 4])


def test_dead_maps_and_maps_of_one_class():
    image = torch.arange(9).expand(3, 9)  # every map is excited by images 0 to 8, the third by none
    score = torch.ones(3, 9)
    score[2] = 0
    top = Top9(score, image, torch.zeros_like(image), torch.zeros_like(image))
    labels = torch.tensor([0] * 6 + [1] * 3 + [0, 1] * 45)
    data = SimpleNamespace(
        several=False, classes=["a", "b"], size=lambda _: 99, labels=lambda _, index: labels[list(index)]
    )
    words = visualize_in_words({"conv1": top}, data, "val", seed=0)
    assert words.startswith(
        "1 of the 3 maps of conv1 is dead, excited by none of 99 val images: 1 of 3 in conv1. Of the"
    )
    assert "one class has 66.7 % [66.7, 66.7] in conv1 (mean over maps; of nine images drawn blindly 6" in words
    alive = Top9(torch.ones(3, 9), image, image, image)
    data.several = True
    assert visualize_in_words({"conv1": alive, "conv2": alive}, data, "val", 0) == (
        "Each of the 6 maps of conv1 to conv2 is excited by some of 99 val images."
    )


def test_a_faulty_set_of_images_and_a_good_one():
    images = SimpleNamespace(pixel_hash=[1] * 1200, name="train")
    survey = SimpleNamespace(
        splits=[images], duplicates=[], bad=list, shared=0, small=lambda _: 0, size=64,
        data_set=SimpleNamespace(source=SimpleNamespace(classes=list("abc"))),
    )  # fmt: skip
    assert data_in_words(survey) == (
        "1,200 images of 3 classes: all can be read, and no two are the same, pixel by pixel."
    )
    survey.bad, survey.small = (lambda: [1, 2]), lambda _: 30
    assert (
        data_in_words(survey)
        == "1,200 images of 3 classes: 2 of them cannot be read and 30 have a side under 64 pixels."
    )


def test_what_a_training_reached():
    metrics = {"epoch": [1, 2, 3], "val/top1": [0.25, 0.75, 0.5], "val/mean_ap": [None, 0.3, 0.6]}
    facts = {"goal": {"metric": "val/top1", "label": "top-1", "mode": "max", "chance": 0.1}, "images": {"val": 40}}
    assert accuracy_in_words(metrics, facts) == (
        f"the validation accuracy (top-1) is 50.0 % {wilson(20, 40)} of 40 images after epoch 3; best 75.0 % after "
        "epoch 2; chance is 10.0 %"
    )
    facts = {"goal": {"metric": "val/mean_ap", "label": "mean AP", "mode": "max"}}
    assert (
        accuracy_in_words(metrics, facts) == "the validation accuracy (top-1) is 50.0 % after epoch 3, mean AP 60.0 %"
    )
    without_facts = "the validation accuracy (top-1) is 50.0 % after epoch 3; best 75.0 % after epoch 2"
    assert accuracy_in_words(metrics, {}) == without_facts
    assert accuracy_in_words({"epoch": []}, facts) == ""
