"""job=overlap: images that two sets share, to be left out of training (section 5.2)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from convscope.analyses.inputs import Inputs
from convscope.analyses.overlap.about import OverlapConfig
from convscope.analyses.overlap.compute import AlteredCopies, Comparison, altered_copies, compare_collections
from convscope.analyses.overlap.compute.collection import Collection, train_and_val, with_folder
from convscope.analyses.overlap.figure import SIDE, ImagePair, correlation_plot, pairs_sheet
from convscope.errors import UserError
from convscope.metrics.papers import published_table
from convscope.runs.number_format import percent
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

PAGE = 24  # pairs of one picture


def results(inputs: Inputs, config: OverlapConfig) -> Iterator[Result]:
    """Reads the two sets of images and yields the results of job=overlap."""
    root, source, settings = inputs.data_root, inputs.source(whole=False), inputs.data_settings()
    name = root.name if root else inputs.data_name
    inputs.facts |= {"data": inputs.data_name, "other": config.other}
    if source.remarks:
        inputs.facts["warnings"] = inputs.last_warnings = list(source.remarks)
    if config.other is None:
        pair = train_and_val(source, name, config.size, settings)
    else:
        pair = with_folder(source, name, Path(config.other).expanduser(), config.size, settings)
    return overlap(*pair, config, inputs.seed, inputs.device)


def overlap(
    first: Collection, second: Collection, plan: OverlapConfig, seed: int, device: torch.device | str = "cpu"
) -> Iterator[Result]:
    """Yields the pairs at the threshold or above, as pictures and table, and the images of the first set to leave out.

    Also the most alike pairs below the threshold, numbers of both sets, and which altered copies the search finds.
    Raises UserError where the threshold lets too many pairs pass, or all images of a set have one color only.
    """
    comparison = compare_collections(first, second, plan, device)
    for images, count in zip((first, second), comparison.one_color, strict=True):
        if count == images.total:
            raise UserError(f"all {count} images of {images.name} have one color only; nothing in them can be compared")
    copies = list(altered_copies(first, comparison.matches.index, plan, seed))
    yield Conclusion("overlap", in_words((first, second), comparison, copies, plan.threshold))
    yield from _numbers(first, second, comparison, plan)
    yield from _tables(first, second, comparison)
    yield from _pictures(first, second, comparison, plan)
    yield from _copies_found(copies, plan)
    by_kind = {kind: correlation.numpy() for kind, correlation in copies}
    yield Picture(
        "overlap/likeness", correlation_plot(comparison.matches.best.numpy(), by_kind, plan.threshold),
        "How alike the most alike images of the two sets are, and where copies would lie. A threshold is well chosen "
        "where few images have a best correlation near it, and copies lie above it", plot=True,
    )  # fmt: skip


def in_words(
    sets: tuple[Collection, Collection], comparison: Comparison, copies: Sequence[AlteredCopies], threshold: float
) -> str:
    """What came out: how many images have a copy in the other set, and which altered copies would be seen."""
    (first, second), matches = sets, comparison.matches
    count = len(matches.first.unique())
    share = f"{count:,} of {first.total:,} images ({percent(count / first.total)})" if count else "No image"
    words = f"{share} of {first.name} {'has' if count < 2 else 'have'} a copy in {second.name}"
    below = matches.best[matches.best < threshold]
    words += f" (correlation {threshold:g} or more"
    words += f"; of the others the most alike come to {float(below.max()):.3f})" if len(below) else ")"
    seen_shares = {kind: float((correlation >= threshold).double().mean()) for kind, correlation in copies}
    low, high = (end(seen_shares, key=seen_shares.__getitem__) for end in (min, max))
    return (
        f"{words}. Of copies made on purpose such a search finds {100 * seen_shares[high]:.0f} % ({high}) to "
        f"{100 * seen_shares[low]:.0f} % ({low})."
    )


def _numbers(first: Collection, second: Collection, comparison: Comparison, plan: OverlapConfig) -> Iterator[Result]:
    matches, rows = comparison.matches, list[dict[str, Any]]()
    numbers = (matches.first, matches.second % second.total)
    for images, matched, one_color in zip((first, second), numbers, comparison.one_color, strict=True):
        copied = matched.unique()
        labels = torch.from_numpy(images.original.labels)[copied]
        largest = int(labels.bincount().max()) if len(copied) else 0
        rows.append({"set": images.name, "images": images.total, "with a copy": len(copied),
                     "share": len(copied) / images.total, "most in one class": largest, "of one color": one_color,
                     "unreadable": images.bad})  # fmt: skip
    same = f"correlation {plan.threshold:g} or more, {plan.size} x {plan.size} pixels, {plan.channels}"
    yield Number("overlap/images", rows[0]["with a copy"],
                 f"of {first.total:,} images of {first.name} have a copy in {second.name} ({same})")  # fmt: skip
    yield Number("overlap/others", rows[1]["with a copy"],
                 f"of {second.total:,} images of {second.name} have a copy in {first.name}")  # fmt: skip
    yield Number("overlap/pairs", len(matches.first), "pairs are so much alike")
    yield Number("overlap/highest", float(matches.best.max()), "the highest correlation of all pairs")
    yield Table("overlap/sets", rows, f"Images that have a copy in the other set. {_paper_counts()}")


def _paper_counts() -> str:
    """The paper's counts in words."""
    table = published_table("zf_overlap")
    counts = [f"{shared.value:,.0f} of {total.value:,.0f} ({row}, up to {largest.value:.0f} of a class)"
              for row, (shared, total, largest) in table.rows.items() if shared and total and largest]  # fmt: skip
    return f"Not comparable, being other images: {', '.join(counts)}: {table.source}"


def _tables(first: Collection, second: Collection, comparison: Comparison) -> Iterator[Table]:
    """The pairs, and the images to leave out of training; no tables where there are no pairs."""
    matches = comparison.matches
    pairs = zip(matches.first.tolist(), matches.second.tolist(), matches.correlation.tolist(), strict=True)
    rows = [
        {
            "path": first.file(number), "other": second.file(match % second.total), "correlation": correlation,
            "class": first.label(number), "other class": second.label(match % second.total),
            "mirrored": match >= second.total,
        }
        for number, match, correlation in pairs
    ]  # fmt: skip
    if not rows:
        return
    yield Table("overlap/pairs", rows, f"Images of {first.name} and their copies in {second.name}, most alike first")
    best_rows = {row["path"]: {key: row[key] for key in ("path", "class", "correlation")} for row in reversed(rows)}
    left_out = [best_rows[path] for path in dict.fromkeys(row["path"] for row in rows)]
    yield Table("overlap", left_out, f"Images of {first.name} to leave out of training, each with its best correlation")


def _pictures(first: Collection, second: Collection, comparison: Comparison, plan: OverlapConfig) -> Iterator[Picture]:
    """Each image of the first set beside its best match, above the threshold and below."""
    best = comparison.matches.best
    order = best.argsort(descending=True, stable=True)
    above = int((best >= plan.threshold).sum())
    sides = {
        "pairs": (order[: min(above, plan.shown)], "Copies: the strongest correlations", "at or above"),
        "below": (order[above : above + plan.shown], "No copies? The strongest correlations below", "below"),
    }
    for name, (places, title, where) in sides.items():
        parts = places.split(PAGE) if len(places) else ()
        for number, part in enumerate(parts, 1):
            pairs = [_pair(first, second, comparison, place) for place in part.tolist()]
            sheet = pairs_sheet(pairs, f"{title} the threshold {plan.threshold:g}" if name == "below" else title,
                                (first.name, second.name))  # fmt: skip
            caption = f"Each image of {first.name} beside the most alike one of {second.name}, {where} the threshold"
            caption += f" ({number} of {len(parts)})" if len(parts) > 1 else ""
            yield Picture(f"overlap/{name}" + (f"_{number}" if number > 1 else ""), sheet, caption)


def _pair(first: Collection, second: Collection, comparison: Comparison, place: int) -> ImagePair:
    """An image of the first set and its best match, mirrored back where the match is a mirror image."""
    matches = comparison.matches
    number, match = int(matches.index[place]), int(matches.at[place])
    right = second.tile(match % second.total, SIDE)
    mirrored = match >= second.total
    words = f"{float(matches.best[place]):.4f}" + (" · the right one mirrored" if mirrored else "")
    names = _class_and_file(first, number), _class_and_file(second, match % second.total)
    return ImagePair(first.tile(number, SIDE), right[:, ::-1] if mirrored else right, *names, words)


def _class_and_file(images: Collection, number: int) -> str:
    return f"{images.label(number)}\n{Path(images.file(number)).name}"


def _copies_found(copies: Sequence[AlteredCopies], plan: OverlapConfig) -> Iterator[Result]:
    rows: list[dict[str, Any]] = []
    for kind, correlation in copies:
        low, median = correlation.quantile(torch.tensor([0.01, 0.5], dtype=torch.float64)).tolist()
        share = float((correlation >= plan.threshold).double().mean())
        rows.append({"copy": kind, "images": len(correlation), "found": share, "median": median,
                     "1 % below": low})  # fmt: skip
    yield Table("overlap/copies", rows, f"Which changed copies of an image this search finds at {plan.threshold:g}")
    yield Number("overlap/found", rows[0]["found"], f"share of copies found that were {rows[0]['copy']}")
