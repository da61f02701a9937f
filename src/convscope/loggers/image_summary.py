"""A picture file as a jpeg in TensorBoard's event file; `add_image` would make a png several times as large."""

from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from convscope.runs.picture_files import dashboard_picture


def add_picture_file(writer: Any, name: str, path: Path, step: int) -> None:
    """Adds a jpeg, png or webp file to a SummaryWriter of torch.utils.tensorboard or of tensorboardX."""
    of_x = type(writer).__module__.startswith("tensorboardX")
    messages = import_module("tensorboardX.proto.summary_pb2" if of_x else "tensorboard.compat.proto.summary_pb2")
    encoded = dashboard_picture(path)
    with Image.open(BytesIO(encoded)) as picture:
        width, height, channels = picture.width, picture.height, len(picture.getbands())
    image = messages.Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
    summary = messages.Summary(value=[messages.Summary.Value(tag=name, image=image)])
    writer._get_file_writer().add_summary(summary, step)  # both have it; what add_image does with its own png
