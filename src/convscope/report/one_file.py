"""The page of a run in one html file that needs no other: to mail, and to open where the run folder is not.

Pictures are written into the page as data: addresses. Where the file would be larger than wanted, tiles are written as
coarser WebP, and if that does not do, there are fewer epochs; the page says which.
"""

import base64
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import unquote

from convscope.errors import UserError
from convscope.report.atlas import Atlas, build_atlas, in_atlas
from convscope.report.page import data_script, literal, write_page
from convscope.runs.index import IndexEntry
from convscope.runs.picture_files import MAX_WEBP_SIDE, opened_picture
from convscope.runs.reading import Run, read_run

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
QUALITIES = (None, 60, 40, 25)  # of WebP, tried in this order; None: the files as they are
BY_EPOCH = "top9/", "strips/", "filters/"  # names of pictures whose epochs may be thinned
Encode = Callable[[int | None, str], str]  # quality and path of a picture -> its data: address


class OneFile(NamedTuple):
    """html: the whole page. words: what it holds and, where it had to be made smaller, what it lacks."""

    html: bytes
    words: str


class PictureAddresses:
    """The pictures of a run as data: addresses. encode: gives that of a path in the run folder."""

    def __init__(self, run: Run, encode: Callable[[str], str]):
        self.encode = encode
        self.paths = dict.fromkeys(str(entry.path) for entry in _pictures(run))

    def __call__(self, source: str) -> str | None:
        """The data: address of a picture named as the page names it, "../pictures/..."; None for any other."""
        path = unquote(source).removeprefix("../")
        return self.encode(path) if path in self.paths else None


def one_file(
    run_folder: Path, limit: int, layer: str | None = None, track: Callable[[Iterable[str]], Iterable[str]] = iter
) -> OneFile:
    """The page of a run in at most `limit` bytes. layer: the only one whose maps it shows; None for all.

    Nothing is written into the run folder, which may be that of somebody else. track: passes on the pictures that are
    encoded one by one, to show the progress. Raises UserError where even one epoch of coarse tiles is larger.
    """
    with TemporaryDirectory() as place:
        return _packed(write_page(run_folder, Path(place)), _of_layer(read_run(run_folder), layer), limit, layer, track)


def _packed(
    page: Path, run: Run, limit: int, layer: str | None, track: Callable[[Iterable[str]], Iterable[str]]
) -> OneFile:
    epochs = sorted({entry.epoch for entry in run.entries if entry.epoch is not None and in_atlas(entry)})
    encode = cache(partial(_address, run.folder))  # attempts share most pictures
    smallest = 0
    for quality, chosen in _attempts(run, epochs, limit - page.stat().st_size, encode):
        shown = _at_epochs(run, chosen, len(epochs))
        addresses = PictureAddresses(shown, partial(encode, quality))
        for path in track(addresses.paths):
            addresses.encode(path)
        words = _words(run, epochs, chosen, quality)
        smallest = len(html := _page(page, shown, addresses, words))
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


def _attempts(run: Run, epochs: Sequence[int], room: int, encode: Encode) -> Iterator[tuple[int | None, list[int]]]:
    """Qualities and epochs to try, the best first, without those that a few files show to be far too large.

    room: bytes for the pictures.
    """
    pictures = [[entry for entry in _pictures(run) if _is_by_epoch(entry) == by_epoch] for by_epoch in (True, False)]
    for quality in QUALITIES:
        moving, fixed = (_about_bytes(run, entries, partial(encode, quality)) for entries in pictures)
        if moving + fixed <= room:
            yield quality, list(epochs)
    count = min(len(epochs), int(len(epochs) * max(0, room - fixed) / max(moving, 1)))
    while count > 1:
        yield QUALITIES[-1], spread(epochs, count)
        count = min(count - 1, int(0.95 * count))
    yield QUALITIES[-1], spread(epochs, 1)


def _about_bytes(run: Run, entries: Sequence[IndexEntry], encode: Callable[[str], str]) -> float:
    """About how long the addresses of the pictures are together, by a dozen of them."""
    sizes = [(run.folder / str(entry.path)).stat().st_size for entry in entries]
    step = max(1, len(entries) // 12)
    encoded = sum(len(encode(str(entry.path))) for entry in entries[::step])
    return sum(sizes) * encoded / max(1, sum(sizes[::step]))


def _pictures(run: Run) -> list[IndexEntry]:
    return [entry for entry in run.entries if entry.kind == "picture" and entry.path]


def _of_layer(run: Run, layer: str | None) -> Run:
    if layer is None:
        return run
    others = [entry for entry in run.entries if not (in_atlas(entry) and entry.layer not in (None, layer))]
    return run._replace(entries=others)


def _at_epochs(run: Run, chosen: Sequence[int], count: int) -> Run:
    """The run with the tiles of these epochs of `count`. Sheets of whole images serve several epochs and stay."""
    if len(chosen) == count:
        return run
    return run._replace(entries=[entry for entry in run.entries if not _is_by_epoch(entry) or entry.epoch in chosen])


def _is_by_epoch(entry: IndexEntry) -> bool:
    return entry.kind == "picture" and entry.epoch is not None and entry.name.startswith(BY_EPOCH)


def _words(run: Run, epochs: Sequence[int], chosen: Sequence[int], quality: int | None) -> str:
    """What the file holds, in sentences for the page and the terminal."""
    words = f"This file is the page of {run.folder.resolve().name} and needs no other file."
    if len(chosen) < len(epochs):
        listed = ", ".join(map(str, chosen))
        words += f" To be small it shows {len(chosen)} of {len(epochs)} epochs ({listed})"
        words += f", its tiles as WebP of quality {quality}."
    elif quality is not None:
        at_epochs = f", all {len(epochs)} epochs" if len(epochs) > 1 else ""
        words += f" To be small it has its tiles as WebP of quality {quality}{at_epochs}."
    return words


def _page(page: Path, run: Run, address_of: PictureAddresses, words: str) -> bytes:
    """The written page with its data, tiles and pictures in it; links to files beside it lead nowhere and go."""
    text = page.read_text(encoding="utf-8").replace(" data-live>", ">", 1)  # the file follows no run
    text = text.replace(' class="state running">', ' class="state">when this file was written: ', 1)
    text = re.sub(r'<script src="data\.js"></script>', lambda _: f"<script>{_data(run, address_of)}</script>", text)
    text = re.sub(r'<script src="(?!data:)[^"]*"></script>\n?', "", text)
    text = re.sub(r'<a class="file" [^>]*>[^<]*</a>', "", text)
    text = re.sub(r'<img src="(\.\./[^"]+)"', lambda match: f'<img src="{address_of(match[1]) or ""}"', text)
    text = re.sub(r"url\('(glances/\d+\.jpg)(?:\?\w+)?'\)", lambda match: f"url('{_glance(page, match[1])}')", text)
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


def _address(folder: Path, quality: int | None, path: str) -> str:
    """The data: address of a picture: as it is, or as WebP where that is smaller."""
    picture = folder / path
    content, kind = picture.read_bytes(), TYPES[picture.suffix.lower()]
    if quality is not None:
        webp = _webp(picture, quality)
        if webp and len(webp) < len(content):
            content, kind = webp, "image/webp"
    return data_address(content, kind)


def _webp(picture: Path, quality: int) -> bytes | None:
    """A picture as WebP; None for one that is too large for that, or damaged."""
    image = opened_picture(picture)
    if image is None or max(image.size) > MAX_WEBP_SIDE:
        return None
    data = io.BytesIO()
    image.save(data, "webp", quality=quality, method=2)
    return data.getvalue()
