"""job=annotate: a page on which people mark parts of their photographs, for the jobs that ask where these are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.cli.run_start import begin_folder
from convscope.cli.training import check_path_keys
from convscope.cli.unused_words import unused_words
from convscope.config import config, read_config
from convscope.errors import UserError
from convscope.runs.atomic_io import write
from convscope.runs.reading import is_run_folder

if TYPE_CHECKING:
    from convscope.report.annotation_page import Photograph

Settings = dict[str, Any]
COPIES = "photographs"  # in the run folder


@config("annotate")
class AnnotateConfig:
    """parts: names of points. boxes: names of boxes. copy: shows a jpeg copy of every photograph."""

    parts: list[str] = field(default_factory=lambda: ["left eye", "right eye", "nose"])
    boxes: list[str] = field(default_factory=lambda: ["object"])
    copy: bool = False


def annotate(settings: Settings, folder: Path) -> None:
    """job=annotate: writes a page of the photographs of data=..., or one on which a folder is chosen."""
    from convscope.cli.terminal import show_warning
    from convscope.report.annotation_page import PAGE_FILE, write_annotation_page

    check_path_keys(settings)
    config = read_config(AnnotateConfig, settings)
    points, boxes = (_names(key, getattr(config, key)) for key in ("parts", "boxes"))
    for line in unused_words(settings):
        show_warning(line)
    paths, root = _image_files(settings)
    photographs = _photographs(paths, root, folder, config.copy) if root else []
    if not is_run_folder(folder):
        begin_folder()
    page = write_annotation_page(folder / PAGE_FILE, photographs, root, points, boxes)
    write(folder / "summary.json", json.dumps({"job": "annotate", "finished": True}) + "\n")
    if root is None:
        print("choose the folder of the photographs on the page, or name it here: data=images data.root=<folder>")
    print(f"look at {page}", flush=True)


def _names(key: str, names: list[str]) -> list[str]:
    """The names of parts without blanks around them. Raises UserError for an empty name, and for one there twice."""
    names = [name.strip() for name in names]
    if "" in names or len(set(names)) < len(names):
        problem = "an empty name" if "" in names else f"{next(name for name in names if names.count(name) > 1)} twice"
        raise UserError(f"annotate.{key} has {problem}; name each part once: 'annotate.{key}=[left eye,beak]'")
    return names


def _image_files(settings: Settings) -> tuple[list[Path], Path | None]:
    """The image files of data=..., at most data.limit of each split, and their folder; no files for the drawn set.

    Raises UserError for a set that is not in files.
    """
    from convscope.data.config import data_settings, job_source
    from convscope.data.sources import Files, all_limited

    data = settings["data"]
    limit = data_settings(settings).limit
    if data["source"] == "critters":  # the default, whose parts are known
        return [], None
    splits, _ = job_source(settings).present()
    if not all(isinstance(split, Files) for split in splits.values()) or not data.get("root"):
        raise UserError(f"data={data['source']} has no files of images to mark; type data=images data.root=<folder>")
    limited = all_limited(splits.values(), limit, settings["seed"])
    paths = [path for split in limited if isinstance(split, Files) for path in split.paths]
    return sorted(dict.fromkeys(path.absolute() for path in paths)), Path(data["root"]).expanduser().absolute()


def _photographs(paths: Sequence[Path], root: Path, folder: Path, copies: bool) -> list[Photograph]:
    """The photographs of the page; those that browsers cannot show are copied into the run folder.

    Warns of files that cannot be read, and of names that no csv can hold. Raises UserError where no photograph is left.
    """
    from convscope.cli.terminal import show_warning
    from convscope.data.browser_images import browser_image
    from convscope.data.decode import Unreadable, printable
    from convscope.engine.progress import track
    from convscope.report.annotation_page import Photograph

    photographs = list[Photograph]()
    for number, path in enumerate(track(paths, "looking at the photographs")):
        name = path.relative_to(root).as_posix()
        try:
            name.encode()
            image = browser_image(path, copies)
        except (Unreadable, UnicodeEncodeError) as error:
            reason = "its name is no UTF-8" if isinstance(error, UnicodeEncodeError) else error
            show_warning(f"{printable(path)} is left out: {reason}")
            continue
        source = path.as_uri()
        if image.jpeg:
            source = f"{COPIES}/{number:06d}.jpg"
            write(folder / source, image.jpeg)
        photographs.append(Photograph(name, source, image.width, image.height))
    if not photographs:
        raise UserError(f"data.root={root} has no image that can be read; name another folder")
    return photographs
