"""Accuracy by training images of a class beside the papers' and their rivals' (Tables 4 and 5; VGG's Table 11)."""

from collections.abc import Iterator, Mapping
from typing import Any

from convscope.analyses.transfer.compute.dense import DENSE, Scales
from convscope.analyses.transfer.job.table7 import BY_IMAGES, NOT_COMPARABLE, TransferResults
from convscope.metrics.papers import PaperTable, PrintedNumber, published_table
from convscope.runs.record import Table

_THEIRS = {"pretrained": "Zeiler & Fergus, pretrained", "from scratch": "Zeiler & Fergus, from scratch"}
_OWN = {"caltech101": "Caltech-101", "caltech256": "Caltech-256"}  # columns of VGG's Table 11


def by_images(shown: TransferResults, last: str) -> Table:
    """Our nets at their last hidden layer and at the best one, then what the paper prints: Table 5 of Caltech-256, of
    other images Table 4. It is called after the paper's table where the images are the paper's.
    """
    source = shown.subject.data_name
    key = BY_IMAGES.get(source, "zf_table4")
    table = published_table(key)
    places = list(dict.fromkeys([layer for layer in (last, shown.best()[0]) if layer in shown.layers]))
    theirs = {int(column.split()[0]): column for column in table.columns}
    sizes = sorted({*shown.sizes, *theirs})
    rows = list(_ours(shown, places, sizes))
    rows += _papers(table, {size: theirs.get(size) for size in sizes}, "" if source in BY_IMAGES else NOT_COMPARABLE)
    name = f"transfer/{key.removeprefix('zf_')}" if source in BY_IMAGES else "transfer/by_images"
    return Table(name, rows, _told(shown, places, table, source))


def _ours(shown: TransferResults, places: list[str], sizes: list[int]) -> Iterator[dict[str, Any]]:
    for net in shown.nets:
        for layer in places:
            for kind in shown.kinds:
                row = {"net": net, "features": f"{layer}, {kind}"}
                row |= {_column(n): shown.text(layer, kind, n, net) if n in shown.sizes else "" for n in sizes}
                yield row | {"beside ours": ""}


def _papers(table: PaperTable, columns: Mapping[int, str | None], why: str) -> Iterator[dict[str, Any]]:
    for name in table.rows:
        row = {"net": _THEIRS.get(name, name), "features": ""}
        row |= {_column(n): _text(table.figure(name, column) if column else None) for n, column in columns.items()}
        yield row | {"beside ours": why or "same images"}


def _told(shown: TransferResults, places: list[str], table: PaperTable, source: str) -> str:
    folds = len(shown.folds(places[0], shown.kinds[0], shown.sizes[0]))
    best = f"; {places[-1]} is the layer that does best on these very tests" if len(places) > 1 else ""
    told = (
        f"Accuracy in %, mean over the {len(shown.subject.data.classes)} classes, ± standard deviation over {folds} "
        f"folds, by training images of each class, of linear classifiers on frozen features{best}. Beside: "
        f"{table.source}; there the net not pretrained was trained from scratch on these few images"
    )
    return told if source in BY_IMAGES else f"{told}; {NOT_COMPARABLE}: other images, classes and pretraining"


def table11(shown: TransferResults, scales: Scales) -> Table:
    """The dense features beside the plain ones of the last layer, then VGG's Table 11."""
    table, source = published_table("vgg_table11"), shown.subject.data_name
    most, own = shown.sizes[-1], _OWN.get(source)
    rows: list[dict[str, Any]] = []
    for layer in [DENSE, *(each for each in shown.layers if each != DENSE)]:
        for kind in shown.kinds:
            row = {"net": f"{shown.nets[0]}, {layer}, {kind}"}
            row |= {"here": shown.text(layer, kind, most)} if own is None else {}
            rows.append(
                row | {column: shown.text(layer, kind, most) if column == own else "" for column in table.columns}
            )
    for name in table.rows:
        row = {"net": name} | ({"here": ""} if own is None else {})
        rows.append(row | {column: _text(table.figure(name, column)) for column in table.columns})
    how = "one after another" if scales.stack else "averaged"
    told = (
        f"Accuracy in % ± standard deviation over the folds, {most} training images of each class, of {DENSE} "
        f"features (Simonyan & Zisserman 2014, Appendix B: whole images and their mirror images of "
        f"{', '.join(map(str, scales.sides))} pixels, averaged over all places, the scales {how}) and of one crop. "
        f"Beside: {table.source}; {NOT_COMPARABLE}: pretrained on 1.3 million images of ImageNet"
    )
    return Table("transfer/vgg_table11", rows, told if own else f"{told}, and of other images")


def _column(size: int) -> str:
    return f"{size} per class"


def _text(figure: PrintedNumber | None) -> str:
    return figure.text() if figure else ""
