"""What job=transfer found, as Table 7 and Fig. 9 of the paper show it, beside the paper's numbers."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscope.analyses.subject import Subject
from convscope.analyses.transfer.compute import Trial, accuracies
from convscope.analyses.transfer.figure import Curve, transfer_curves
from convscope.metrics.intervals import mean_interval
from convscope.metrics.linear_probe import Kind
from convscope.metrics.papers import paper
from convscope.models.build import ConvNet
from convscope.models.rows import ConvRow, LinearRow
from convscope.runs.record import Number, Picture, Table

COLUMNS = {"caltech101": "Caltech-101 (30 per class)", "caltech256": "Caltech-256 (60 per class)"}  # of Table 7
BY_IMAGES = {"caltech101": "zf_table4", "caltech256": "zf_table5"}  # accuracy by images per class
NOT_COMPARABLE = "not comparable"


class TransferResults(NamedTuple):
    """tried: every fold of every layer of every net, that of the subject first. layers: from the pixels up."""

    subject: Subject
    layers: list[str]
    tried: list[Trial]

    @property
    def sizes(self) -> list[int]:
        """Training images of a class, ascending."""
        return sorted({one.per_class for one in self.tried})

    @property
    def kinds(self) -> list[Kind]:
        return list(dict.fromkeys(one.classifier for one in self.tried))

    @property
    def nets(self) -> list[str]:
        """The subject's first."""
        return list(dict.fromkeys(one.net for one in self.tried))

    def folds(self, layer: str, kind: Kind, per_class: int, net: str | None = None) -> NDArray[np.float64]:
        """Accuracies in percent [folds]; net None: the subject's."""
        return 100 * accuracies(self.tried, layer, kind, per_class, net or self.nets[0])

    def percent(self, layer: str, kind: Kind, per_class: int, net: str | None = None) -> tuple[float, float]:
        """Mean over the folds, and their standard deviation (0 for one fold)."""
        found = self.folds(layer, kind, per_class, net)
        return float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else 0.0

    def text(self, layer: str, kind: Kind, per_class: int, net: str | None = None) -> str:
        """As a table shows it."""
        return "{:.1f} ± {:.1f}".format(*self.percent(layer, kind, per_class, net))

    def best(self) -> tuple[str, Kind]:
        """The layer and the classifier of the subject's net that are right most often with most training images."""
        pairs = [(layer, kind) for layer in self.layers for kind in self.kinds]
        return max(pairs, key=lambda pair: self.percent(pair[0], pair[1], self.sizes[-1])[0])


def table7(shown: TransferResults) -> Table:
    """A row for each layer and classifier: mean +- standard deviation over the folds, in percent."""
    numbered, source = paper_layers(shown.subject), shown.subject.data_name
    rows = []
    for kind in shown.kinds:
        for layer in shown.layers:
            row: dict[str, Any] = {"layer": layer, "classifier": kind}
            for size in shown.sizes:
                row[f"{size} per class"] = shown.text(layer, kind, size)
            for net in shown.nets[1:]:
                row[f"{net}, {shown.sizes[-1]} per class"] = shown.text(layer, kind, shown.sizes[-1], net)
            for name, column in COLUMNS.items():
                words = f"paper: {column}" + ("" if name == source else f", {NOT_COMPARABLE}")
                row[words] = _paper(f"{_PAPER_KIND[kind]} ({numbered.get(layer)})", column)
            rows.append(row)
    count = len(shown.folds(shown.layers[0], shown.kinds[0], shown.sizes[0]))
    classes = len(shown.subject.data.classes)
    caption = (
        f"Accuracy in %, mean over the {classes} classes, ± standard deviation over {count} folds, of a linear "
        f"classifier on the frozen features of each layer (chance: {100 / classes:.3g}). The paper's net had learned "
        f"1.3 million images of ImageNet; {NOT_COMPARABLE}: other images or classes than here"
    )
    return Table("transfer/table", rows, caption)


_PAPER_KIND = {"svm": "SVM", "softmax": "softmax"}


def paper_layers(subject: Subject) -> dict[str, int]:
    """The rows of a net built like the paper's, five convolutions and three full rows, by its numbers of them."""
    if not isinstance(subject.net, ConvNet):
        return {}
    weighted = [name for name, row in subject.net.rows.items() if isinstance(row, ConvRow | LinearRow)]
    convolutions = [isinstance(subject.net.rows[name], ConvRow) for name in weighted]
    return dict(zip(weighted, range(1, 9), strict=True)) if convolutions == [True] * 5 + [False] * 3 else {}


def _paper(row: str, column: str) -> str:
    table = paper("zf_table7")
    figure = table.figure(row, column) if row in table.rows else None
    return figure.text() if figure else ""


def figure9(shown: TransferResults) -> Picture:
    """Accuracy over the layers, and over the training images of a class for every layer, the best one thick."""
    layer, kind = shown.best()
    most, words = shown.sizes[-1], {"svm": "SVM", "softmax": "softmax"}
    by_layer = [_curve(words[one], shown.layers, [shown.percent(each, one, most) for each in shown.layers])
                for one in shown.kinds]  # fmt: skip
    by_images = [
        _curve(each, shown.sizes, [shown.percent(each, kind, size) for size in shown.sizes],
               "best" if each == layer else "ours")
        for each in shown.layers
    ]  # fmt: skip
    for net in shown.nets[1:]:
        by_layer += [
            _curve(net, shown.layers, [shown.percent(each, kind, most, net) for each in shown.layers], "other")
        ]
        values = [shown.percent(layer, kind, size, net) for size in shown.sizes]
        by_images += [_curve(f"{net}, {layer}", shown.sizes, values, "other")]
    chance = 100 / len(shown.subject.data.classes)
    by_layer += [Curve("chance", shown.layers, [chance] * len(shown.layers), [0] * len(shown.layers), "chance")]
    by_images += _paper_curve(shown.subject.data_name)
    titles = (f"Accuracy by layer, {most} images of each class, %", f"Accuracy by images ({words[kind]}), %")
    caption = (
        f"How well a linear classifier on frozen features tells the {len(shown.subject.data.classes)} classes apart: "
        f"by layer, and by the training images it has (the paper's Fig. 9; thick: {layer}, the best here, chosen on "
        "these very tests; the paper's line is of Caltech-256 where the images are not its own). "
        "Bars: ± standard deviation over the folds"
    )
    caption += (
        f". Orange-red: the other nets, treated alike ({', '.join(shown.nets[1:])})" if len(shown.nets) > 1 else ""
    )
    return Picture("transfer/curves", transfer_curves(by_layer, by_images, titles), caption, plot=True)


def _curve(label: str, x: Sequence[Any], values: Sequence[tuple[float, float]], kind: str = "ours") -> Curve:
    return Curve(label, x, [mean for mean, _ in values], [spread for _, spread in values], kind)


def _paper_curve(source: str) -> list[Curve]:
    """The paper's pretrained net on the same images; of other images Caltech-256's, which Fig. 9 shows."""
    table = paper(BY_IMAGES.get(source, "zf_table5"))
    name = "paper" if source in BY_IMAGES else "paper, other images"
    sizes = [int(column.split()[0]) for column in table.columns]
    known = [(size, one) for size, one in zip(sizes, table.rows["pretrained"], strict=True) if one]
    values = [(figure.value, figure.spread or 0.0) for _, figure in known]
    return [_curve(name, [size for size, _ in known], values, "paper")]


def trials_table(shown: TransferResults) -> Table:
    """Every fold by itself."""
    rows = [one._asdict() | {"accuracy": round(100 * one.accuracy, 3)} for one in shown.tried]
    caption = (
        "Every fold of every layer: the C chosen for it on a part of its training images, and its accuracy in % on the "
        "others"
    )
    return Table("transfer/trials", rows, caption)


def numbers(shown: TransferResults) -> Iterator[Number]:
    """Accuracy of each layer in percent, how much the highest layer adds to the lowest, and each layer of the subject's
    net to that of another, fold by fold.
    """
    for layer in shown.layers:
        for kind in shown.kinds:
            for size in shown.sizes:
                mean = mean_interval(shown.folds(layer, kind, size))
                words = f"accuracy in % of {kind} on {layer}, {size} images of each class: {mean}, over {mean.n} folds"
                yield Number(f"transfer/{layer}/{kind}/{size}", mean.value, words, layer=layer)
    low, high, most = shown.layers[0], shown.layers[-1], shown.sizes[-1]
    for kind in shown.kinds if low != high else []:
        mean = mean_interval(shown.folds(high, kind, most) - shown.folds(low, kind, most))
        words = f"{high} minus {low}, accuracy of {kind} in %, {most} images of each class: {mean}, over {mean.n} folds"
        yield Number(f"transfer/depth/{kind}", mean.value, words)
    for net in shown.nets[1:]:
        for layer, kind in product(shown.layers, shown.kinds):
            mean = mean_interval(shown.folds(layer, kind, most) - shown.folds(layer, kind, most, net))
            words = (
                f"{shown.nets[0]} minus {net}, accuracy of {kind} on {layer} in %, {most} images of each class: "
                f"{mean}, over {mean.n} folds"
            )
            yield Number(f"transfer/gain/{net.replace(' ', '_')}/{layer}/{kind}", mean.value, words, layer=layer)
