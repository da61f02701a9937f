"""job=overlap: images that two sets share, to be left out of training (section 5.2)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from convscope.analyses.inputs import Inputs
from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.overlap.compute import Copies, Shared, compare_collections, copies
from convscope.analyses.overlap.compute.collection import Collection, train_and_val, with_folder
from convscope.analyses.overlap.figure import Pair, likeness, pairs_sheet
from convscope.errors import UserError
from convscope.metrics.papers import paper
from convscope.runs.record import Number, Picture, Result, Table

PAGE = 24  # pairs of one picture
SIDE = 144


def results(inputs: Inputs, config: OverlapConfig) -> Iterator[Result]:
    """Reads the two sets of images and yields what job=overlap finds."""
    root, source, settings = inputs.data_root, inputs.source(whole=False), inputs.data_settings()
    name = root.name if root else inputs.data_name
    inputs.facts |= {"data": inputs.data_name, "other": config.other}
    if config.other is None:
        pair = train_and_val(source, name, config.size, settings)
    else:
        pair = with_folder(source, name, Path(config.other).expanduser(), config.size, settings)
    return overlap(*pair, config, inputs.seed, inputs.device)


def overlap(
    first: Collection, second: Collection, plan: OverlapConfig, seed: int, device: torch.device | str = "cpu"
) -> Iterator[Result]:
    """Yields the pairs at the threshold or above, as pictures and table, the list of images of the first to leave out,
    the most alike pairs below, numbers of both, and what copies the search finds at all.

    Raises UserError where the threshold lets too many pairs pass, or all images of a set have one color only.
    """
    shared = compare_collections(first, second, plan, device)
    for images, flat in zip((first, second), shared.flat, strict=True):
        if flat == images.total:
            raise UserError(f"all {flat} images of {images.name} have one color only; nothing in them can be compared")
    yield from _numbers(first, second, shared, plan)
    yield from _tables(first, second, shared)
    yield from _pictures(first, second, shared, plan)
    made = list(copies(first, shared.found.index, plan, seed))
    yield from _finds(made, plan)
    known = {one.kind: one.correlation.numpy() for one in made}
    yield Picture(
        "overlap/likeness", likeness(shared.found.best.numpy(), known, plan.threshold),
        "How alike the most alike images of the two sets are, and where copies would lie. A threshold is well chosen "
        "where few images have a best correlation near it, and copies lie above it", plot=True,
    )  # fmt: skip


def _numbers(first: Collection, second: Collection, shared: Shared, plan: OverlapConfig) -> Iterator[Result]:
    found, rows = shared.found, list[dict[str, Any]]()
    for images, numbers, flat in (
        (first, found.first, shared.flat[0]),
        (second, found.second % second.total, shared.flat[1]),
    ):
        copied = numbers.unique()
        labels = torch.from_numpy(images.original.labels)[copied]
        most = int(labels.bincount().max()) if len(copied) else 0
        rows.append({"set": images.name, "images": images.total, "with a copy": len(copied),
                     "share": len(copied) / images.total, "most in one class": most, "of one color": flat,
                     "unreadable": images.bad})  # fmt: skip
    same = f"correlation {plan.threshold:g} or more, {plan.size} x {plan.size} pixels, {plan.channels}"
    yield Number("overlap/images", rows[0]["with a copy"],
                 f"of {first.total:,} images of {first.name} have a copy in {second.name} ({same})")  # fmt: skip
    yield Number("overlap/others", rows[1]["with a copy"],
                 f"of {second.total:,} images of {second.name} have a copy in {first.name}")  # fmt: skip
    yield Number("overlap/pairs", len(found.first), "pairs are so much alike")
    yield Number("overlap/highest", float(found.best.max()), "the highest correlation of all pairs")
    yield Table("overlap/sets", rows, f"Images that have a copy in the other set. {_printed()}")


def _printed() -> str:
    """The paper's counts in words."""
    known = paper("zf_overlap")
    counts = [f"{found.value:,.0f} of {total.value:,.0f} ({row}, up to {most.value:.0f} of a class)"
              for row, (found, total, most) in known.rows.items() if found and total and most]  # fmt: skip
    return f"Not comparable, being other images: {', '.join(counts)}: {known.source}"


def _tables(first: Collection, second: Collection, shared: Shared) -> Iterator[Table]:
    """No tables where there are no pairs."""
    found = shared.found
    rows = [
        {
            "path": first.file(one), "other": second.file(other % second.total), "correlation": value,
            "class": first.label(one), "other class": second.label(other % second.total),
            "mirrored": other >= second.total,
        }
        for one, other, value in zip(
            found.first.tolist(), found.second.tolist(), found.correlation.tolist(), strict=True
        )
    ]  # fmt: skip
    if not rows:
        return
    yield Table("overlap/pairs", rows, f"Images of {first.name} and their copies in {second.name}, most alike first")
    listed = {row["path"]: {key: row[key] for key in ("path", "class", "correlation")} for row in reversed(rows)}
    leave = [listed[path] for path in dict.fromkeys(row["path"] for row in rows)]
    yield Table("overlap", leave, f"Images of {first.name} to leave out of training, each with its best correlation")


def _pictures(first: Collection, second: Collection, shared: Shared, plan: OverlapConfig) -> Iterator[Picture]:
    """Each image of the first with the one it is most like, above the threshold and below."""
    best = shared.found.best
    order = best.argsort(descending=True, stable=True)
    above = int((best >= plan.threshold).sum())
    sides = {
        "pairs": (order[: min(above, plan.shown)], "Copies: the strongest correlations", "at or above"),
        "below": (order[above : above + plan.shown], "No copies? The strongest correlations below", "below"),
    }
    for name, (places, title, where) in sides.items():
        parts = places.split(PAGE) if len(places) else ()
        for number, part in enumerate(parts, 1):
            pairs = [_pair(first, second, shared, place) for place in part.tolist()]
            sheet = pairs_sheet(pairs, f"{title} the threshold {plan.threshold:g}" if name == "below" else title,
                                (first.name, second.name))  # fmt: skip
            caption = f"Each image of {first.name} beside the most alike one of {second.name}, {where} the threshold"
            caption += f" ({number} of {len(parts)})" if len(parts) > 1 else ""
            yield Picture(f"overlap/{name}" + (f"_{number}" if number > 1 else ""), sheet, caption)


def _pair(first: Collection, second: Collection, shared: Shared, place: int) -> Pair:
    found = shared.found
    one, other = int(found.index[place]), int(found.at[place])
    right = second.shown(other % second.total, SIDE)
    mirrored = other >= second.total
    words = f"{float(found.best[place]):.4f}" + (" · the right one mirrored" if mirrored else "")
    names = _short(first, one), _short(second, other % second.total)
    return Pair(first.shown(one, SIDE), right[:, ::-1] if mirrored else right, *names, words)


def _short(images: Collection, number: int) -> str:
    return f"{images.label(number)}\n{Path(images.file(number)).name}"


def _finds(made: Sequence[Copies], plan: OverlapConfig) -> Iterator[Result]:
    rows: list[dict[str, Any]] = []
    for one in made:
        low, middle = one.correlation.quantile(torch.tensor([0.01, 0.5], dtype=torch.float64)).tolist()
        share = float((one.correlation >= plan.threshold).double().mean())
        rows.append({"copy": one.kind, "images": len(one.correlation), "found": share, "median": middle,
                     "1 % below": low})  # fmt: skip
    yield Table("overlap/copies", rows, f"Which changed copies of an image this search finds at {plan.threshold:g}")
    yield Number("overlap/found", rows[0]["found"], f"share of copies found that were {rows[0]['copy']}")
