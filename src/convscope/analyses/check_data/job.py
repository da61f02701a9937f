"""job=check_data: a data set read once, and what is wrong with it, before a net is trained on it for days."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convscope.analyses.check_data.compute import CheckData, Copies, Found, SplitImages, Survey, modes, tile
from convscope.analyses.check_data.figure import Row, samples_sheet
from convscope.data import folders
from convscope.data.decode import printable
from convscope.data.sources import Source, unchecked_folder
from convscope.errors import UserError
from convscope.runs.record import Number, Picture, Result, Table

__all__ = ["CheckData", "check_data", "gathered"]

NAMED = 4  # files of a group of copies


def gathered(read: Callable[[], Source], data: Mapping[str, Any]) -> Found:
    """The data set as training reads it; where training refuses it, its folders as they lie, and what training says.

    data: conf/data. Raises the same UserError where there are no images in class folders at all.
    """
    root = Path(data["root"]).expanduser() if data.get("root") and "://" not in str(data["root"]) else None
    splits = root is not None and (root / "train").is_dir()
    over = folders.skipped_files(root) if root is not None and splits else {}
    try:
        source = read()
    except UserError as problem:
        if root is None or not any((root / name).is_dir() for name in ("train", "val", "test")):
            raise
        return Found(unchecked_folder(root), str(problem), over)
    one = "it has no classes to learn" if len(source.classes) < 2 else ""
    return Found(source, one, over)


def check_data(survey: Survey, plan: CheckData, seed: int) -> Iterator[Result]:
    """Yields the table of splits, of classes, bad images, copies, modes and files passed over; a picture; numbers."""
    yield Table("check/splits", [_split_row(survey, seen) for seen in survey.splits],
                f"The images, read once. Those with a side under {survey.size} pixels are enlarged")  # fmt: skip
    yield Table("check/classes", _class_rows(survey), "Readable images of each class")
    if bad := survey.bad():
        left = [{"path": printable(path), "reason": reason} for path, reason in bad]
        yield Table("check/bad", left, "Images that cannot be read")
    if survey.copies:
        groups = [_copies_row(survey, group) for group in survey.copies]
        yield Table("check/copies", groups, "Images with the very same pixels; those of several classes first")
    yield Table("check/modes", modes(survey), "How their pixels are stored; all become RGB of 8 bits")
    if over := survey.found.passed_over:
        files = [{"why": why, "files": len(of), "for example": printable(of[0])} for why, of in over.items()]
        yield Table("check/passed_over", files, "Files that are not taken for images")
    yield Picture("check/images", _sheet(survey, plan, seed), "Some images of each class, as a net sees them: the "
                  "center, its smallest side of the size that the net takes")  # fmt: skip
    yield from _numbers(survey)


def _split_row(survey: Survey, seen: SplitImages) -> dict[str, Any]:
    good, classes = seen.good, len(survey.found.source.classes)
    row: dict[str, Any] = {"split": seen.name, "images": len(good), "bad": len(seen.bad)}
    counts = np.bincount(seen.split.labels[good], minlength=classes)
    row |= {"classes": int((counts > 0).sum()), "fewest": int(counts.min()), "most": int(counts.max())}
    width, height = seen.width[good], seen.height[good]
    order = np.argsort(width * height, kind="stable")
    for name, share in (("smallest", 0.0), ("median", 0.5), ("largest", 1.0)):
        at = order[round(share * (len(order) - 1))] if len(order) else None
        row[name] = None if at is None else f"{width[at]} x {height[at]}"
    return row | {"enlarged": survey.small(seen)}


def _class_rows(survey: Survey) -> list[dict[str, Any]]:
    names = survey.found.source.classes
    rows: list[dict[str, Any]] = [{"class": printable(name)} for name in names]
    for seen in survey.splits:
        counts = np.bincount(seen.split.labels[seen.good], minlength=len(names)).tolist()
        bad = np.bincount(seen.split.labels[~seen.good], minlength=len(names)).tolist()
        for row, count, lost in zip(rows, counts, bad, strict=True):
            row |= {seen.name: count, f"{seen.name} bad": lost}
    return rows


def _copies_row(survey: Survey, group: Copies) -> dict[str, Any]:
    names = survey.found.source.classes
    files = [seen.file(at) for seen, at in group.members]
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return {
        "copies": len(files),
        "splits": ", ".join(group.splits),
        "classes": ", ".join(printable(names[at]) for at in group.classes),
        "files": ", ".join(files[:NAMED]) + more,
    }


def _numbers(survey: Survey) -> Iterator[Result]:
    figures = {
        "images": (sum(len(seen.equal) for seen in survey.splits), "images"),
        "bad": (len(survey.bad()), "of them cannot be read"),
        "copies": (sum(len(group.members) - 1 for group in survey.copies), "are copies of others, pixel by pixel"),
        "shared": (survey.shared, "of val are in train, too"),
        "conflicts": (sum(len(group.classes) > 1 for group in survey.copies), "stand in several classes"),
        "enlarged": (sum(map(survey.small, survey.splits)), f"have a side under {survey.size} pixels"),
    }
    for name, (value, words) in figures.items():
        yield Number(f"check/{name}", value, words)


def _sheet(survey: Survey, plan: CheckData, seed: int) -> Any:
    names, draw = survey.found.source.classes, np.random.default_rng(seed)
    chosen = np.unique(np.linspace(0, len(names) - 1, min(plan.classes, len(names))).astype(int))
    rows = list[Row]()
    for at in chosen.tolist():
        own = [np.flatnonzero(seen.good & (seen.split.labels == at)).tolist() for seen in survey.splits]
        held = [(seen, one) for seen, places in zip(survey.splits, own, strict=True) for one in places]
        some = [held[place] for place in sorted(draw.permutation(len(held))[: plan.shown].tolist())]
        tiles = [tile(seen, one, survey) for seen, one in some]
        rows.append(Row(printable(names[at]), f"{len(held)} images", tiles))
    title = f"{len(names)} classes" if len(rows) == len(names) else f"{len(rows)} of {len(names)} classes"
    return samples_sheet(rows, f"{title}, as a net sees them")
