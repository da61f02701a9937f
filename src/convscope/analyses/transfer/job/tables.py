"""The sentence and the tables of job=transfer, beside the papers' numbers: Tables 4, 5 and 7, VGG's Table 11."""

from collections.abc import Iterator, Mapping
from typing import Any

from convscope.analyses.subject import Subject
from convscope.analyses.transfer.compute import TransferResults
from convscope.analyses.transfer.compute.feature_pass import DENSE, DenseScales
from convscope.metrics.intervals import Interval, interval_text, mean_interval
from convscope.metrics.papers import PaperTable, PrintedNumber, published_table
from convscope.models.build import ConvNet
from convscope.models.rows import ConvRow, LinearRow
from convscope.runs.record import Table

TABLES_BY_IMAGES = {"caltech101": "zf_table4", "caltech256": "zf_table5"}  # accuracy by images per class
NOT_COMPARABLE = "not comparable"
CLASSIFIERS = {"svm": "SVM", "softmax": "softmax"}  # in the paper's words
_TABLE7_COLUMNS = {"caltech101": "Caltech-101 (30 per class)", "caltech256": "Caltech-256 (60 per class)"}
_PAPER_NETS = {"pretrained": "Zeiler & Fergus, pretrained", "from scratch": "Zeiler & Fergus, from scratch"}
_VGG_COLUMNS = {"caltech101": "Caltech-101", "caltech256": "Caltech-256"}  # of VGG's Table 11


def in_words(results: TransferResults) -> str:
    """What came out: the best layer beside chance, other nets and the lowest layer, over the folds."""
    (layer, kind), size, classes = results.best(), results.sizes[-1], len(results.subject.data.classes)
    best = mean_interval(results.folds(layer, kind, size))
    words = f"Linear classifiers on {layer}, the best layer, reach {_points(best)} % of {classes} classes"
    words += f" ({CLASSIFIERS[kind]}, {size} training images of each, {best.n} folds; chance {100 / classes:.3g} %)"
    for net in results.nets[1:]:
        gap = mean_interval(results.folds(layer, kind, size) - results.folds(layer, kind, size, net))
        words += f"; {_points(gap)} points more than {net}" + _doubt(gap)
    low, high = results.layers[0], results.layers[-1]
    if low != high:
        gap = mean_interval(results.folds(high, kind, size) - results.folds(low, kind, size))
        words += f". From {low} to {high} accuracy changes by {_points(gap)} points" + _doubt(gap)
    return f"{words}."


def _points(value: Interval) -> str:
    return interval_text(*value[:3], decimals=1)


def _doubt(gap: Interval) -> str:
    return ", which may be chance" if gap.low <= 0 <= gap.high else ""


def table7(results: TransferResults) -> Table:
    """A row for each layer and classifier: mean ± standard deviation over the folds, in percent."""
    rows = [_table7_row(results, layer, kind) for kind in results.kinds for layer in results.layers]
    count = len(results.folds(results.layers[0], results.kinds[0], results.sizes[0]))
    classes = len(results.subject.data.classes)
    caption = (
        f"Accuracy in %, mean over the {classes} classes, ± standard deviation over {count} folds, of a linear "
        f"classifier on the frozen features of each layer (chance: {100 / classes:.3g}). The paper's net had learned "
        f"1.3 million images of ImageNet; {NOT_COMPARABLE}: other images or classes than here"
    )
    return Table("transfer/table", rows, caption)


def _table7_row(results: TransferResults, layer: str, kind: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": layer, "classifier": kind}
    for size in results.sizes:
        row[f"{size} per class"] = results.text(layer, kind, size)
    for net in results.nets[1:]:
        row[f"{net}, {results.sizes[-1]} per class"] = results.text(layer, kind, results.sizes[-1], net)
    table, paper_row = published_table("zf_table7"), f"{CLASSIFIERS[kind]} ({paper_layers(results.subject).get(layer)})"
    for source, column in _TABLE7_COLUMNS.items():
        note = "" if source == results.subject.data_name else f", {NOT_COMPARABLE}"
        figure = table.figure(paper_row, column) if paper_row in table.rows else None
        row[f"paper: {column}{note}"] = _text(figure)
    return row


def paper_layers(subject: Subject) -> dict[str, int]:
    """The paper's layer numbers by row, for a net built like the paper's: five convolutions and three full rows."""
    if not isinstance(subject.net, ConvNet):
        return {}
    weighted = [name for name, row in subject.net.rows.items() if isinstance(row, ConvRow | LinearRow)]
    convolutions = [isinstance(subject.net.rows[name], ConvRow) for name in weighted]
    return dict(zip(weighted, range(1, 9), strict=True)) if convolutions == [True] * 5 + [False] * 3 else {}


def accuracy_by_images(results: TransferResults, last: str) -> Table:
    """Table 4 or 5: our nets at the hidden layer `last` and at the best layer, then the paper's rows.

    Table 5 for Caltech-256, Table 4 for any other images; the table has the paper's name where the images are the
    paper's.
    """
    source = results.subject.data_name
    key = TABLES_BY_IMAGES.get(source, "zf_table4")
    table = published_table(key)
    layers = list(dict.fromkeys([layer for layer in (last, results.best()[0]) if layer in results.layers]))
    paper_columns = {int(column.split()[0]): column for column in table.columns}
    sizes = sorted({*results.sizes, *paper_columns})
    note = "" if source in TABLES_BY_IMAGES else NOT_COMPARABLE
    rows = list(_our_rows(results, layers, sizes))
    rows += _paper_rows(table, {size: paper_columns.get(size) for size in sizes}, note)
    name = f"transfer/{key.removeprefix('zf_')}" if source in TABLES_BY_IMAGES else "transfer/by_images"
    return Table(name, rows, _by_images_caption(results, layers, table, source))


def _our_rows(results: TransferResults, layers: list[str], sizes: list[int]) -> Iterator[dict[str, Any]]:
    for net in results.nets:
        for layer in layers:
            for kind in results.kinds:
                row = {"net": net, "features": f"{layer}, {kind}"}
                for size in sizes:
                    row[f"{size} per class"] = results.text(layer, kind, size, net) if size in results.sizes else ""
                yield row | {"beside ours": ""}


def _paper_rows(table: PaperTable, columns: Mapping[int, str | None], note: str) -> Iterator[dict[str, Any]]:
    for name in table.rows:
        row = {"net": _PAPER_NETS.get(name, name), "features": ""}
        for size, column in columns.items():
            row[f"{size} per class"] = _text(table.figure(name, column) if column else None)
        yield row | {"beside ours": note or "same images"}


def _by_images_caption(results: TransferResults, layers: list[str], table: PaperTable, source: str) -> str:
    folds = len(results.folds(layers[0], results.kinds[0], results.sizes[0]))
    best = f"; {layers[-1]} is the layer that does best on these very tests" if len(layers) > 1 else ""
    caption = (
        f"Accuracy in %, mean over the {len(results.subject.data.classes)} classes, ± standard deviation over {folds} "
        f"folds, by training images of each class, of linear classifiers on frozen features{best}. Beside: "
        f"{table.source}; there the net not pretrained was trained from scratch on these few images"
    )
    return (
        caption if source in TABLES_BY_IMAGES else f"{caption}; {NOT_COMPARABLE}: other images, classes and pretraining"
    )


def table11(results: TransferResults, scales: DenseScales) -> Table:
    """The dense features beside the plain ones of the last layer, then VGG's Table 11."""
    table = published_table("vgg_table11")
    size, our_column = results.sizes[-1], _VGG_COLUMNS.get(results.subject.data_name)
    rows: list[dict[str, Any]] = []
    for layer in [DENSE, *(layer for layer in results.layers if layer != DENSE)]:
        for kind in results.kinds:
            accuracy = results.text(layer, kind, size)
            row = {"net": f"{results.nets[0]}, {layer}, {kind}"} | ({} if our_column else {"here": accuracy})
            rows.append(row | {column: accuracy if column == our_column else "" for column in table.columns})
    for name in table.rows:
        row = {"net": name} | ({} if our_column else {"here": ""})
        rows.append(row | {column: _text(table.figure(name, column)) for column in table.columns})
    how = "one after another" if scales.stack else "averaged"
    caption = (
        f"Accuracy in % ± standard deviation over the folds, {size} training images of each class, of {DENSE} "
        f"features (Simonyan & Zisserman 2014, Appendix B: whole images and their mirror images of "
        f"{', '.join(map(str, scales.sides))} pixels, averaged over all places, the scales {how}) and of one crop. "
        f"Beside: {table.source}; {NOT_COMPARABLE}: pretrained on 1.3 million images of ImageNet"
    )
    return Table("transfer/vgg_table11", rows, caption if our_column else f"{caption}, and of other images")


def trials_table(results: TransferResults) -> Table:
    """Every fold of every layer by itself."""
    rows = [trial._asdict() | {"accuracy": round(100 * trial.accuracy, 3)} for trial in results.trials]
    caption = (
        "Every fold of every layer: the C chosen for it on a part of its training images, and its accuracy in % on the "
        "others"
    )
    return Table("transfer/trials", rows, caption)


def _text(figure: PrintedNumber | None) -> str:
    return figure.text() if figure else ""
