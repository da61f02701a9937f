"""A picture file byte by byte in TensorBoard's event file; `add_image` makes of a jpeg a png several times as large."""

from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image


def add_picture_file(writer: Any, name: str, path: Path, step: int) -> None:
    """Adds a jpeg or png to a SummaryWriter of torch.utils.tensorboard or of tensorboardX."""
    of_x = type(writer).__module__.startswith("tensorboardX")
    messages = import_module("tensorboardX.proto.summary_pb2" if of_x else "tensorboard.compat.proto.summary_pb2")
    with Image.open(path) as picture:
        width, height, channels = picture.width, picture.height, len(picture.getbands())
    image = messages.Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=path.read_bytes()
    )
    summary = messages.Summary(value=[messages.Summary.Value(tag=name, image=image)])
    writer._get_file_writer().add_summary(summary, step)  # both have it; what add_image does with its own png
