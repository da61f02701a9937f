"""job=check_data: reads a data set once and reports what is wrong with it, before a net is trained on it for days."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convscope.analyses.check_data.about import CheckDataConfig
from convscope.analyses.check_data.compute import (
    DataSet,
    DuplicateGroup,
    SplitImages,
    Survey,
    complaints,
    mode_rows,
    sample_tile,
    survey,
)
from convscope.analyses.check_data.figure import ClassSamples, samples_sheet
from convscope.analyses.inputs import Inputs
from convscope.data.decode import printable
from convscope.data.folder_contents import skipped_files
from convscope.data.folders import SPLITS, split_folder, undivided_images
from convscope.data.sources import Source, present_splits
from convscope.errors import UserError
from convscope.runs.bad_images import write_bad_images
from convscope.runs.number_format import listed
from convscope.runs.record import Conclusion, Number, Picture, Result, Table

NAMED_FILES = 4  # of a group of duplicates


def results(inputs: Inputs, config: CheckDataConfig) -> Iterator[Result]:
    """Reads every image and yields the results of job=check_data, also of a set that training refuses."""
    data_set = read_data_set(inputs.source, inputs.data_root, inputs.val_share)
    images = survey(data_set, inputs.data_settings().image_size)
    warnings, bad = complaints(images, config), images.bad()
    inputs.facts |= {"data": inputs.data_name, "warnings": warnings, "bad_images": len(bad)}
    if bad:
        write_bad_images(inputs.folder, bad)
    inputs.last_warnings = warnings  # a reader of a terminal looks at the last lines
    return check_data(images, config, inputs.seed)


def read_data_set(read: Callable[[], Source], root: Path | None, val_share: float | None = None) -> DataSet:
    """The data set as training reads it; where training refuses it, its folders as they are, with training's error.

    root: the folder of the set, if it lies in one. val_share: that divides its class folders. Raises the same UserError
    where there are no class folders at all.
    """
    splits = [] if root is None or not root.is_dir() else [split_folder(root, name) for name in SPLITS]
    ignored_files = skipped_files(*filter(None, dict.fromkeys(splits)))
    if root is not None and val_share is not None and split_folder(root, "train") is None:
        with suppress(UserError):  # which reading says, too
            undivided_images(root, val_share, ignored_files)
    try:
        source = read()
    except UserError as problem:
        with suppress(UserError):  # of present_splits, which says the same or less
            if root is not None:
                return DataSet(present_splits(root, val_share=val_share), str(problem), ignored_files)
        raise
    refusal = "it has no classes to learn" if len(source.classes) < 2 else ""
    return DataSet(source, refusal, ignored_files)


def check_data(survey: Survey, plan: CheckDataConfig, seed: int) -> Iterator[Result]:
    """Yields tables of splits, classes, bad images, duplicates, modes and ignored files; a picture; and numbers."""
    yield Conclusion("check", in_words(survey))
    yield Table("check/splits", [_split_row(survey, images) for images in survey.splits],
                f"The images, read once. Those with a side under {survey.size} pixels are enlarged")  # fmt: skip
    yield Table("check/classes", _class_rows(survey), "Readable images of each class")
    if bad := survey.bad():
        bad_rows = [{"path": printable(path), "reason": reason} for path, reason in bad]
        yield Table("check/bad", bad_rows, "Images that cannot be read")
    if survey.duplicates:
        groups = [_duplicates_row(survey, group) for group in survey.duplicates]
        yield Table("check/copies", groups, "Images with the very same pixels; those of several classes first")
    yield Table("check/modes", mode_rows(survey), "How their pixels are stored; all become RGB of 8 bits")
    if ignored := survey.data_set.ignored_files.items():
        files = [{"why": why, "files": count, "for example": printable(example)} for why, (count, example) in ignored]
        yield Table("check/passed_over", files, "Files that are not taken for images")
    yield Picture("check/images", _sheet(survey, plan, seed), "Some images of each class, as a net sees them: the "
                  "center, its smallest side of the size that the net takes")  # fmt: skip
    yield from _numbers(survey)


def _split_row(survey: Survey, images: SplitImages) -> dict[str, Any]:
    good, classes = images.good, len(survey.data_set.source.classes)
    row: dict[str, Any] = {"split": images.name, "images": len(good), "bad": len(images.bad)}
    counts = np.bincount(images.split.labels[good], minlength=classes)
    row |= {"classes": int((counts > 0).sum()), "fewest": int(counts.min()), "most": int(counts.max())}
    width, height = images.width[good], images.height[good]
    order = np.argsort(width * height, kind="stable")
    for name, share in (("smallest", 0.0), ("median", 0.5), ("largest", 1.0)):
        position = order[round(share * (len(order) - 1))] if len(order) else None
        row[name] = None if position is None else f"{width[position]} x {height[position]}"
    return row | {"enlarged": survey.small(images)}


def _class_rows(survey: Survey) -> list[dict[str, Any]]:
    names = survey.data_set.source.classes
    rows: list[dict[str, Any]] = [{"class": printable(name)} for name in names]
    for images in survey.splits:
        counts = np.bincount(images.split.labels[images.good], minlength=len(names)).tolist()
        bad_counts = np.bincount(images.split.labels[~images.good], minlength=len(names)).tolist()
        for row, count, bad in zip(rows, counts, bad_counts, strict=True):
            row |= {images.name: count, f"{images.name} bad": bad}
    return rows


def _duplicates_row(survey: Survey, group: DuplicateGroup) -> dict[str, Any]:
    names = survey.data_set.source.classes
    files = [images.file(position) for images, position in group.members]
    rest = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
    return {
        "copies": len(files),
        "splits": ", ".join(group.splits),
        "classes": ", ".join(printable(names[label]) for label in group.classes),
        "files": ", ".join(files[:NAMED_FILES]) + rest,
    }


def in_words(survey: Survey) -> str:
    """What came out: how many images of how many classes, and what is wrong with how many of them."""
    figures = _figures(survey)
    total, _ = figures.pop("images")
    wrong = listed([f"{value:,} {words}" for value, words in figures.values() if value])
    fine = "all can be read, and no two are the same, pixel by pixel"
    return f"{total:,} images of {len(survey.data_set.source.classes)} classes: {wrong or fine}."


def _numbers(survey: Survey) -> Iterator[Number]:
    for name, (value, words) in _figures(survey).items():
        yield Number(f"check/{name}", value, words)


def _figures(survey: Survey) -> dict[str, tuple[int, str]]:
    """Counts of images, with their words."""
    duplicates = survey.duplicates
    return {
        "images": (sum(len(images.pixel_hash) for images in survey.splits), "images"),
        "bad": (len(survey.bad()), "of them cannot be read"),
        "copies": (sum(len(group.members) - 1 for group in duplicates), "are copies of others, pixel by pixel"),
        "shared": (survey.shared, "of val are in train, too"),
        "conflicts": (sum(len(group.classes) > 1 for group in duplicates), "stand in several classes"),
        "enlarged": (sum(map(survey.small, survey.splits)), f"have a side under {survey.size} pixels"),
    }


def _sheet(survey: Survey, plan: CheckDataConfig, seed: int) -> Image.Image:
    """Some images of some classes, drawn by seed."""
    names, draw = survey.data_set.source.classes, np.random.default_rng(seed)
    labels = np.unique(np.linspace(0, len(names) - 1, min(plan.classes, len(names))).astype(int))
    rows = list[ClassSamples]()
    for label in labels.tolist():
        members = [
            (images, position)
            for images in survey.splits
            for position in np.flatnonzero(images.good & (images.split.labels == label)).tolist()
        ]
        drawn = [members[number] for number in sorted(draw.permutation(len(members))[: plan.shown].tolist())]
        tiles = [sample_tile(images, position, survey) for images, position in drawn]
        rows.append(ClassSamples(printable(names[label]), f"{len(members)} images", tiles))
    title = f"{len(names)} classes" if len(rows) == len(names) else f"{len(rows)} of {len(names)} classes"
    return samples_sheet(rows, f"{title}, as a net sees them")
