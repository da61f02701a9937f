"""Pictures of results in a notebook and as files: PIL images and matplotlib figures alike."""

import base64
import functools
import io
from pathlib import Path
from typing import Any

from PIL import Image

from convscope.errors import UserError
from convscope.runs.atomic_io import write

ENDINGS = "png", "jpg", "svg", "pdf"
DPI = 110  # of figures in a notebook


def png_bytes(picture: Any) -> bytes:
    """A picture as a png."""
    file = io.BytesIO()
    if hasattr(picture, "savefig"):
        from convscope.plots.figure_files import save_figure

        save_figure(picture, file, "png", DPI)
    else:
        picture.save(file, "PNG")
    return file.getvalue()


def web_image(picture: Any) -> str:
    """A picture as an address that a page can show: a png for a figure, a jpeg for an image."""
    if hasattr(picture, "savefig"):
        return _address(png_bytes(picture), "png")
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=88, subsampling=0)
    return _address(file.getvalue(), "jpeg")


def _address(content: bytes, form: str) -> str:
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def shown_picture(picture: Any) -> Any:
    """The picture, such that a notebook shows it: without pyplot it does not know matplotlib's figures."""
    if hasattr(picture, "savefig") and not hasattr(picture, "_repr_png_"):
        picture._repr_png_ = functools.partial(png_bytes, picture)
    return picture


def save_picture(picture: Any, path: Path) -> Path:
    """Writes a picture as its ending says: png, jpg, svg or pdf; figures stay lines and letters in the last two.

    Raises UserError for another ending, and where the file cannot be written.
    """
    form = path.suffix.lower().lstrip(".").replace("jpeg", "jpg")
    if form not in ENDINGS:
        raise UserError(
            f"path={path} ends in {path.suffix}; possible: .{', .'.join(ENDINGS)}, or no ending for a folder"
        )
    write(path, lambda part: part.write_bytes(_encoded(picture, form)))
    return path


def _encoded(picture: Any, form: str) -> bytes:
    file = io.BytesIO()
    if hasattr(picture, "savefig"):
        from convscope.plots.figure_files import save_figure

        save_figure(picture, file, form)
        return file.getvalue()
    if form == "svg":
        return _svg(picture)
    flat = picture if form == "png" else picture.convert("RGB")
    options: dict[str, Any] = {"quality": 92, "subsampling": 0} if form == "jpg" else {}
    flat.save(file, {"jpg": "JPEG"}.get(form, form.upper()), **options)
    return file.getvalue()


def _svg(image: Image.Image) -> bytes:
    """An image of pixels within an svg, which other programs can place among drawings."""
    (width, height), address = image.size, _address(png_bytes(image), "png")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<image width="{width}" height="{height}" href="{address}"/></svg>'
    ).encode()
