"""How the pictures of a run folder are stored: png, jpeg, or webp for the packed tiles of an epoch.

A run has a packed picture for each layer and epoch: they are most of what it writes. At the same look WebP takes two
thirds of JPEG (docs/evolution.md has the measurement).
"""

from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from convscope.runs.atomic_io import write
from convscope.runs.number_format import counted

MAX_WEBP_SIDE = 16_383  # pixels
FINE_TILE = 80  # pixels of a side from which a tile is stored finely: there are fewer, and they are looked at closely
DENSE: dict[str, Any] = {"quality": 36, "method": 4}  # of WebP, for smaller tiles
FINE: dict[str, Any] = {"quality": 60, "method": 2}  # half the time of method 4, files 5 % larger
BYTES_PER_PIXEL = {True: 1.9, False: 2.5}  # by whether tiles are fine; of a map's 19 tiles and all that comes with them
JPEG_QUALITY = 90
QUALITY_OF_WEBP = 75  # of the jpeg of a webp file; twice its size
DAMAGED_PICTURE = OSError, SyntaxError, Image.DecompressionBombError  # what Pillow raises for damaged or absurd files
DRAWINGS = "svg", "pdf"  # in which each figure of a run is written beside its png, in figures/


def picture_form(image: Any, plot: bool, tile: int | None) -> str:
    """The ending of the file of a PIL image or a figure. tile: side of its tiles, for a packed picture of an epoch."""
    if plot or hasattr(image, "savefig"):
        return "png"
    return "jpg" if tile is None or max(image.size) > MAX_WEBP_SIDE else "webp"


def save_picture(image: Any, path: Path, tile: int | None = None, quality: int = JPEG_QUALITY) -> None:
    """Writes a PIL image or a figure as the ending of the path says. quality: of a jpeg."""
    form = path.suffix.removeprefix(".")
    if hasattr(image, "savefig"):
        _save_figure(image, path, form)
    elif form == "png":
        image.save(path, optimize=False)
    elif form == "webp":
        image.save(path, **(DENSE if tile is not None and tile < FINE_TILE else FINE))
    else:
        image.save(path, quality=quality, subsampling=0 if quality >= JPEG_QUALITY else 2)


def opened_picture(path: Path) -> Image.Image | None:
    """The picture in a file, in colors; None for an absent or damaged one."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except DAMAGED_PICTURE:
        return None


def dashboard_picture(path: Path) -> bytes:
    """The bytes of a picture file, as a jpeg where it is webp, which dashboards do not show."""
    if path.suffix != ".webp":
        return path.read_bytes()
    jpeg = BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(jpeg, "JPEG", quality=QUALITY_OF_WEBP)
    return jpeg.getvalue()


def save_drawings(figure: Any, folder: Path, name: str) -> None:
    """Writes a matplotlib figure of a run as figures/<name>.svg and .pdf."""
    for form in DRAWINGS:
        write(folder / "figures" / f"{name}.{form}", partial(_save_figure, figure, form=form))


def _save_figure(figure: Any, path: Path, form: str) -> None:
    from convscope.plots.figure_files import save_figure  # takes a second where no figure was drawn

    save_figure(figure, path, form)


def figure_file(folder: Path, picture: str, form: str) -> Path | None:
    """The drawing of a run's picture, pictures/<name>.png, as svg or pdf; None where there is none."""
    name = PurePosixPath(picture)
    if name.suffix != ".png" or name.parts[:1] != ("pictures",):
        return None
    path = folder.joinpath("figures", *name.parts[1:]).with_suffix(f".{form}")
    is_inside = path.resolve().is_relative_to(folder.resolve())  # a link may lead out
    return path if is_inside and path.is_file() else None


def pictures_in_words(epochs: int | None, layers: int, maps: int, tile: int) -> str:
    """About how much a run writes of pictures, measured on photographs; "" where it draws nothing.

    epochs: that are drawn, None where that is not known. maps: of all layers together. tile: pixels of a side.
    """
    size = maps * BYTES_PER_PIXEL[tile >= FINE_TILE] * tile**2 / 1e6
    places = f"{counted(maps, 'map')} of {counted(layers, 'layer')}"
    if epochs is None:
        return f"about {megabytes(size)} of pictures at each epoch that is drawn ({places})"
    if not epochs or not maps:
        return ""
    return f"about {megabytes(epochs * size)} of pictures ({places} at {counted(epochs, 'epoch')})"


def megabytes(size: float) -> str:
    return f"{max(1, round(size)):,} MB"
