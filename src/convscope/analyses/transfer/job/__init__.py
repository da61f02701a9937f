"""job=transfer: the classes of another data set from the frozen features of every layer (sections 5.2 and 5.4)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any

import torch

from convscope.analyses.evaluation.compute import table_names
from convscope.analyses.evaluation.compute.multilabel import (
    class_precisions,
    interval_text,
    plot_caption,
    precision_numbers,
    table6,
)
from convscope.analyses.evaluation.figure import precision_plot
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.about import RANDOM, TransferConfig
from convscope.analyses.transfer.compute import (
    MultilabelFit,
    TransferResults,
    multilabel_fits,
    transferred_layers,
    trials,
)
from convscope.analyses.transfer.compute.feature_pass import DENSE, FeatureRequest, dense_scales, features_on_disk
from convscope.analyses.transfer.figure import Curve, transfer_curves
from convscope.analyses.transfer.job.tables import (
    CLASSIFIERS,
    TABLES_BY_IMAGES,
    accuracy_by_images,
    in_words,
    table7,
    table11,
    trials_table,
)
from convscope.data.shared_passes import process
from convscope.engine.layers import layer_roles
from convscope.metrics.intervals import in_percent, mean_interval
from convscope.metrics.linear_probe import folds
from convscope.metrics.papers import published_table
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

THIS_NET, RANDOM_WEIGHTS = "this net", "random weights"
OWN_IMAGES = (
    "the net was trained on these very images: how well its features tell them apart says nothing of other images; "
    "type data=<other images>, e.g. data=folder data.root=/photos"
)


def results(inputs: Inputs, config: TransferConfig) -> Iterator[Result]:
    """Opens the net, and the nets of transfer.beside, and yields the results of job=transfer."""
    subject = inputs.subject()
    if subject.own_images:
        inputs.facts |= {"warnings": [OWN_IMAGES], "own_images": True}
        inputs.show_warning(OWN_IMAGES)
    return transfer(subject, config, inputs.seed, _compared_nets(inputs, subject, config.beside or []))


def _compared_nets(inputs: Inputs, subject: Subject, names: Sequence[str]) -> dict[str, Subject]:
    fresh = partial(inputs.random_subject, subject) if inputs.has_learned_weights else None
    return compared_nets(names, inputs.open, fresh)


def compared_nets(
    names: Sequence[str], load: Callable[[str], Subject], fresh: Callable[[], Subject] | None
) -> dict[str, Subject]:
    """The nets of transfer.beside: those of checkpoints, which `load` opens, and `fresh`, the net of random weights.

    fresh: None where the net's own weights are random.
    """
    checkpoints = [name for name in names if name != RANDOM]
    opened = [load(checkpoint) for checkpoint in checkpoints]
    nets = dict(zip(table_names(checkpoints, opened), opened, strict=True)) if opened else {}
    if RANDOM in names and fresh is not None:
        nets[RANDOM_WEIGHTS] = fresh()
    return nets


def transfer(
    subject: Subject, plan: TransferConfig, seed: int, beside: Mapping[str, Subject] = MappingProxyType({})
) -> Iterator[Result]:
    """Yields what came out, the tables, the curves, every single trial, and the numbers with intervals over the folds.

    The images of both splits are pooled and drawn anew for every fold. beside: nets by name that are treated alike, on
    the same images. Images that show several classes keep their own splits, and average precision is measured instead
    of accuracy. Of several processes the first fits and yields. Raises UserError for an unknown layer, and for a class
    that has fewer images than a fold needs.
    """
    last = layer_roles(subject.net, subject.data.image_shape).last
    request = _request(subject, plan, last)
    layers = [*request.layers, *([DENSE] if request.scales else [])]
    nets = {THIS_NET: subject, **beside}
    device = subject.device if subject.device.type == "cuda" else torch.device("cpu")  # others have no float64
    if subject.data.several:
        with features_on_disk(nets, request) as stored:
            fits = list(multilabel_fits(stored, subject, plan, device)) if stored else []
        if process().rank:
            return
        yield from _multilabel_results(fits, subject, last if last in layers and not request.scales else layers[-1])
        return
    _check_folds(subject, plan, seed)
    with features_on_disk(nets, request) as stored:
        fitted = list(trials(stored, subject.data.classes, plan, seed, device)) if stored else []
    if process().rank:
        return
    results = TransferResults(subject, layers, fitted)
    yield Conclusion("transfer", in_words(results))
    yield table7(results)
    yield accuracy_by_images(results, last)
    if request.scales:
        yield table11(results, request.scales)
    yield figure9(results)
    yield trials_table(results)
    yield from _numbers(results)


def _request(subject: Subject, plan: TransferConfig, last: str) -> FeatureRequest:
    """The features of every layer; of the last hidden layer and of whole images with features=dense."""
    if plan.features == "dense":
        size = subject.data.settings.image_size
        scales = dense_scales(plan.scales, size, plan.pool, subject.data.settings.stored)
        return FeatureRequest(list(plan.layers or [last]), plan.grid, scales, plan.store, plan.keep)
    layers = list(plan.layers or transferred_layers(subject.net, subject.data.image_shape))
    return FeatureRequest(layers, plan.grid, None, plan.store, plan.keep)


def _check_folds(subject: Subject, plan: TransferConfig, seed: int) -> None:
    """Raises UserError for a class with too few images, before features are computed for hours."""
    labels = [subject.data.labels(split, range(subject.data.size(split))) for split in subject.data.pooled]
    folds(torch.cat(labels).numpy(), subject.data.classes, max(plan.per_class), plan.test_per_class, plan.folds, seed)


def _multilabel_results(fits: Sequence[MultilabelFit], subject: Subject, layer: str) -> Iterator[Result]:
    """The mean of every layer, then Table 6 by the classifiers on `layer` of the first net, softmax first."""
    rows, classes = [], subject.data.classes
    best = max((fit for fit in fits if fit.net == fits[0].net), key=lambda fit: fit.ranked.mean.value)
    yield Conclusion("transfer", (
        f"Linear classifiers on {best.layer}, the best layer, reach a mean average precision of "
        f"{in_percent(best.ranked.mean)} over {len(classes)} classes ({best.classifier}, {best.ranked.images} images "
        "of val)."))  # fmt: skip
    for net, fit_layer, kind, c, ranked in fits:
        mean = ranked.mean
        rows.append({"net": net, "layer": fit_layer, "classifier": kind, "C": c,
                     "mean AP %": round(100 * mean.value, 2),
                     "95 %": interval_text(mean)})  # fmt: skip
        words = f"mean average precision of {kind} on {fit_layer} of {net}: {mean}, over {mean.n} images"
        yield Number(f"transfer/{net.replace(' ', '_')}/{fit_layer}/{kind}", mean.value, words)
    yield Table("transfer/table", rows, (
        f"Mean average precision over {len(classes)} classes, of images that may show several, by a linear classifier "
        "on the frozen features of each layer, fitted on train and tested on val. softmax: one exclusive guess, as the "
        "paper has it, aimed at the same share for each class shown (ours: the paper does not say); svm: each class "
        "against the rest"))  # fmt: skip
    of_layer = [fit.ranked for fit in fits if (fit.net, fit.layer) == (fits[0].net, layer)]
    precisions = class_precisions(sorted(of_layer, key=lambda ranked: ranked.name), classes)
    yield table6(precisions, "transfer", "val")
    yield Picture("transfer/table6", precision_plot(precisions), plot_caption(precisions), plot=True)
    yield from precision_numbers(precisions, "transfer")


def figure9(results: TransferResults) -> Picture:
    """Accuracy over the layers, and over the training images of a class for every layer, the best one thick."""
    layer, kind = results.best()
    size, count = results.sizes[-1], len(results.subject.data.classes)
    titles = (f"Accuracy by layer, {size} images of each class, %", f"Accuracy by images ({CLASSIFIERS[kind]}), %")
    caption = (
        f"How well a linear classifier on frozen features tells the {count} classes apart: "
        f"by layer, and by the training images it has (the paper's Fig. 9; thick: {layer}, the best here, chosen on "
        "these very tests; the paper's line is of Caltech-256 where the images are not its own). "
        "Bars: ± standard deviation over the folds"
    )
    if len(results.nets) > 1:
        caption += f". Other nets, treated alike: {', '.join(results.nets[1:])}"
    figure = transfer_curves(_curves_by_layer(results), _curves_by_images(results), titles)
    return Picture("transfer/curves", figure, caption, plot=True)


def _curves_by_layer(results: TransferResults) -> list[Curve]:
    """Accuracy over the layers with most training images: by each classifier, of each other net, and chance."""
    layers, size, (_, best_kind) = results.layers, results.sizes[-1], results.best()
    curves = [
        _curve(CLASSIFIERS[kind], layers, [results.percent(layer, kind, size) for layer in layers])
        for kind in results.kinds
    ]
    for net in results.nets[1:]:
        values = [results.percent(layer, best_kind, size, net) for layer in layers]
        curves.append(_curve(net, layers, values, _other(net)))
    chance = 100 / len(results.subject.data.classes)
    return [*curves, Curve("chance", layers, [chance] * len(layers), [0] * len(layers), "chance")]


def _curves_by_images(results: TransferResults) -> list[Curve]:
    """Accuracy over the training images by the best classifier: of each layer, of each other net, and the paper's."""
    sizes, (best_layer, kind) = results.sizes, results.best()
    curves = []
    for layer in results.layers:
        values = [results.percent(layer, kind, size) for size in sizes]
        curves.append(_curve(layer, sizes, values, "best" if layer == best_layer else "ours"))
    for net in results.nets[1:]:
        values = [results.percent(best_layer, kind, size, net) for size in sizes]
        curves.append(_curve(f"{net}, {best_layer}", sizes, values, _other(net)))
    return [*curves, _paper_curve(results.subject.data_name)]


def _other(net: str) -> str:
    return "random" if net == RANDOM_WEIGHTS else "other"


def _curve(label: str, x: Sequence[Any], values: Sequence[tuple[float, float]], kind: str = "ours") -> Curve:
    return Curve(label, x, [mean for mean, _ in values], [spread for _, spread in values], kind)


def _paper_curve(source: str) -> Curve:
    """The paper's pretrained net on the same images; for other images that on Caltech-256, which Fig. 9 shows."""
    table = published_table(TABLES_BY_IMAGES.get(source, "zf_table5"))
    name = "paper" if source in TABLES_BY_IMAGES else "paper, other images"
    printed = {
        int(column.split()[0]): figure
        for column, figure in zip(table.columns, table.rows["pretrained"], strict=True)
        if figure
    }
    return _curve(name, list(printed), [(figure.value, figure.spread or 0.0) for figure in printed.values()], "paper")


def _numbers(results: TransferResults) -> Iterator[Number]:
    """Accuracy of each layer in percent; the gain of the highest layer over the lowest, and of each layer of the
    subject's net over the same layer of another net, fold by fold.
    """
    for layer, kind, size in product(results.layers, results.kinds, results.sizes):
        mean = mean_interval(results.folds(layer, kind, size))
        words = f"accuracy in % of {kind} on {layer}, {size} images of each class: {mean}, over {mean.n} folds"
        yield Number(f"transfer/{layer}/{kind}/{size}", mean.value, words, layer=layer)
    low, high, size = results.layers[0], results.layers[-1], results.sizes[-1]
    for kind in results.kinds if low != high else []:
        mean = mean_interval(results.folds(high, kind, size) - results.folds(low, kind, size))
        words = f"{high} minus {low}, accuracy of {kind} in %, {size} images of each class: {mean}, over {mean.n} folds"
        yield Number(f"transfer/depth/{kind}", mean.value, words)
    for net, layer, kind in product(results.nets[1:], results.layers, results.kinds):
        mean = mean_interval(results.folds(layer, kind, size) - results.folds(layer, kind, size, net))
        words = (
            f"{results.nets[0]} minus {net}, accuracy of {kind} on {layer} in %, {size} images of each class: "
            f"{mean}, over {mean.n} folds"
        )
        yield Number(f"transfer/gain/{net.replace(' ', '_')}/{layer}/{kind}", mean.value, words, layer=layer)
