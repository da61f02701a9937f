"""The page of a run in one html file that needs no other: to mail, and to open where the run folder is not.

Pictures are written into the page as data: addresses. Where the file would be larger than wanted, tiles are written as
coarser WebP, and if that does not do, there are fewer epochs; the page says which.
"""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from PIL import Image

from convscope.errors import UserError
from convscope.report.atlas import Atlas, build_atlas, in_atlas
from convscope.report.page import data_script, literal, write_page
from convscope.runs.index import IndexEntry
from convscope.runs.reading import Run, read_run

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
QUALITIES = (None, 60, 40, 25)  # of WebP, tried in this order; None: the files as they are
MAX_WEBP_SIDE = 16_383  # pixels
BY_EPOCH = "top9/", "strips/", "images/", "filters/"  # names of pictures whose epochs may be thinned


class OneFile(NamedTuple):
    """html: the whole page. words: what it holds and, where it had to be made smaller, what it lacks."""

    html: bytes
    words: str


class PictureAddresses:
    """The pictures of a run folder as data: addresses. quality: of WebP; None for the files as they are."""

    def __init__(self, run: Run, quality: int | None):
        self.folder, self.quality = run.folder, quality
        self.paths = {str(entry.path) for entry in run.entries if entry.kind == "picture" and entry.path}
        self.cache: dict[str, str] = {}

    def __call__(self, source: str) -> str | None:
        """The data: address of a picture named as the page names it, "../pictures/..."; None for any other."""
        path = unquote(source).removeprefix("../")
        if path not in self.paths:
            return None
        if path not in self.cache:
            self.cache[path] = data_address(*_encoded(self.folder / path, self.quality))
        return self.cache[path]


def one_file(run_folder: Path, limit: int, layer: str | None = None) -> OneFile:
    """The page of a run in at most `limit` bytes. layer: the only one whose maps it shows; None for all.

    Writes the page of the run folder anew. Raises UserError where even one epoch of coarse tiles is larger.
    """
    page = write_page(run_folder)
    run = _of_layer(read_run(run_folder), layer)
    epochs = sorted({entry.epoch for entry in run.entries if entry.epoch is not None and in_atlas(entry)})
    smallest = 0
    for quality, chosen in _attempts(run, epochs, limit):
        words = _words(run, epochs, chosen, quality)
        smallest = len(html := _page(page, _at_epochs(run, chosen, len(epochs)), quality, words))
        if smallest <= limit:
            return OneFile(html, words)
    advice = "" if layer else "; export.layer=<a layer> shows one layer, and"
    raise UserError(
        f"the page in one file has {smallest / 1e6:.1f} MB with one epoch of coarse tiles, more than "
        f"export.megabytes={limit / 1e6:g}{advice or ';'} export.megabytes takes a larger number"
    )


def spread(epochs: Sequence[int], count: int) -> list[int]:
    """At most `count` of the epochs: the last, the first, and evenly between them."""
    if count >= len(epochs):
        return list(epochs)
    if count < 2:
        return list(epochs[-1:])
    return sorted({epochs[round(place * (len(epochs) - 1) / (count - 1))] for place in range(count)})


def data_address(content: bytes, kind: str) -> str:
    """The address of a file that stands in the address itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _attempts(run: Run, epochs: Sequence[int], limit: int) -> Iterator[tuple[int | None, list[int]]]:
    """Qualities and epochs to try, the best first, without those that a few files show to be far too large."""
    moving = [entry for entry in run.entries if _is_by_epoch(entry)]
    sample = moving[:: max(1, len(moving) // 12)]
    total = sum((run.folder / str(entry.path)).stat().st_size for entry in moving)
    sampled = sum((run.folder / str(entry.path)).stat().st_size for entry in sample)
    for quality in QUALITIES:
        shrunk = sum(len(_encoded(run.folder / str(entry.path), quality)[0]) for entry in sample)
        size = 4 / 3 * total * (shrunk / sampled if sampled else 1)
        if size <= limit:
            yield quality, list(epochs)
    quality, count = QUALITIES[-1], min(len(epochs), int(len(epochs) * limit / max(size, 1)))
    while count > 1:
        yield quality, spread(epochs, count)
        count = int(0.85 * count)
    yield quality, spread(epochs, 1)


def _of_layer(run: Run, layer: str | None) -> Run:
    if layer is None:
        return run
    others = [entry for entry in run.entries if not (in_atlas(entry) and entry.layer not in (None, layer))]
    return run._replace(entries=others)


def _at_epochs(run: Run, chosen: Sequence[int], count: int) -> Run:
    """The run with the tiles of these epochs of `count`, and those sheets of whole images that hold some of theirs."""
    if len(chosen) == count:
        return run
    return run._replace(entries=[entry for entry in run.entries if not _is_by_epoch(entry) or _stays(entry, chosen)])


def _stays(entry: IndexEntry, chosen: Sequence[int]) -> bool:
    if entry.name.startswith("images/"):
        return True
    return entry.epoch in chosen


def _is_by_epoch(entry: IndexEntry) -> bool:
    return entry.kind == "picture" and entry.path is not None and entry.epoch is not None and entry.name.startswith(
        BY_EPOCH
    )  # fmt: skip


def _words(run: Run, epochs: Sequence[int], chosen: Sequence[int], quality: int | None) -> str:
    """What the file holds, in sentences for the page and the terminal."""
    words = f"This file is the page of {run.folder.resolve().name} and needs no other file."
    if len(chosen) < len(epochs):
        listed = ", ".join(map(str, chosen))
        words += f" To be small it shows {len(chosen)} of {len(epochs)} epochs ({listed})"
        words += f", its tiles as WebP of quality {quality}."
    elif quality is not None:
        words += f" To be small it has its tiles as WebP of quality {quality}, all {len(epochs)} epochs."
    return words


def _page(page: Path, run: Run, quality: int | None, words: str) -> bytes:
    """The written page with its data, tiles and pictures in it; links to files beside it lead nowhere and go."""
    address_of = PictureAddresses(run, quality)
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'<script src="data\.js"></script>', lambda _: f"<script>{_data(run, address_of)}</script>", text)
    text = re.sub(r'<script src="(?!data:)[^"]*"></script>\n?', "", text)
    text = re.sub(r'<a class="file" [^>]*>[^<]*</a>', "", text)
    text = re.sub(r'<img src="(\.\./[^"]+)"', lambda match: f'<img src="{address_of(match[1]) or ""}"', text)
    text = re.sub(r"url\('(glances/\d+\.jpg)'\)", lambda match: f"url('{_glance(page, match[1])}')", text)
    text = re.sub(r' href="(?!#|https?:|data:)[^"]*"', "", text)
    return text.replace("</header>", f'<p class="look">{escape(words)}</p>\n</header>', 1).encode(errors="replace")


def _data(run: Run, address_of: PictureAddresses) -> str:
    """The scripts of the page's data and of all its layers as one."""
    atlas = build_atlas(run)
    scripts = ""
    if atlas is not None:
        atlas = _without_files(atlas)
        records = dict(atlas.layers.values())
        scripts = f"window.ATLAS = {literal(records)};\n"
    text = re.sub(r',"drawings":\{[^{}]*\}', "", data_script(run, atlas)) + scripts
    return re.sub(r'"(\.\./pictures/[^"\\]+)"', lambda match: literal(address_of(match[1]) or ""), text)


def _without_files(atlas: Atlas) -> Atlas:
    """The atlas without other runs; the scripts of its layers are empty, as the page has their content."""
    overview = atlas.overview | {"beside": []}
    names = [f"data:text/javascript,/*{number}*/" for number in range(len(atlas.layers))]
    overview["layers"] = [{**layer, "script": script} for layer, script in zip(overview["layers"], names, strict=True)]
    return Atlas(overview, atlas.layers, {})


def _glance(page: Path, name: str) -> str:
    return data_address((page.parent / name).read_bytes(), "image/jpeg")


def _encoded(path: Path, quality: int | None) -> tuple[bytes, str]:
    """The content of a picture and its type: as it is, or as WebP where that is smaller."""
    content, kind = path.read_bytes(), TYPES[path.suffix.lower()]
    if quality is None:
        return content, kind
    try:
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) > MAX_WEBP_SIDE:
                return content, kind
            data = io.BytesIO()
            image.convert("RGB").save(data, "webp", quality=quality, method=2)
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged or absurd files
        return content, kind
    return (data.getvalue(), "image/webp") if data.tell() < len(content) else (content, kind)
