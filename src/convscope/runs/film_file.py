"""Writes the frames of a film as mp4, webp or gif."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from PIL import Image

from convscope.errors import UserError, install

FRAME_SECONDS, LAST_SECONDS = 0.6, 2.5  # an epoch stays, and the last one
FPS = 10  # of an mp4, where an epoch takes several equal frames: players then stop at any of them


def default_film_format() -> str:
    """mp4 where imageio-ffmpeg is installed, else webp."""
    return "mp4" if find_spec("imageio_ffmpeg") else "webp"


def check_film_format(form: str) -> None:
    """Raises UserError for mp4 where the library that writes it is not installed."""
    if form == "mp4" and not find_spec("imageio_ffmpeg"):
        raise UserError(
            f"export.format=mp4 needs imageio-ffmpeg; type {install('film')}, or take export.format=webp or gif, which "
            "need nothing"
        )


def write_film(frames: Iterable[Image.Image], count: int, path: Path, form: str) -> None:
    """Writes the frames, all of one size, one for each epoch; the last one stays longer. count: how many there are."""
    frames = iter(frames)
    if form == "mp4":
        return _write_mp4(frames, count, path)
    seconds = [*[FRAME_SECONDS] * (count - 1), LAST_SECONDS]
    times = [round(1000 * duration) for duration in seconds]
    first = next(frames)
    if form == "gif":
        rest = [frame.quantize(dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
        gif = first.quantize(dither=Image.Dither.FLOYDSTEINBERG)
        gif.save(path, format="gif", save_all=True, append_images=rest, duration=times, loop=0)
    else:
        first.save(path, format="webp", save_all=True, append_images=frames, duration=times, loop=0, quality=80)


def _write_mp4(frames: Iterator[Image.Image], count: int, path: Path) -> None:
    """H.264, which every browser and slide program plays."""
    writer = import_module("imageio_ffmpeg").write_frames
    first = next(frames)
    output = writer(
        str(path), first.size, fps=FPS, codec="libx264", macro_block_size=2, output_params=["-f", "mp4", "-crf", "18",
        "-tune", "stillimage"],
    )  # fmt: skip
    output.send(None)
    for number, frame in enumerate(chain([first], frames), 1):
        pixels = frame.tobytes()
        for _ in range(round(FPS * (LAST_SECONDS if number == count else FRAME_SECONDS))):
            output.send(pixels)
    output.close()
