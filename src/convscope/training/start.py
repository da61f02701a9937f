"""Where a training run starts (init, take, freeze of conf/model): with weights of an earlier net, and frozen rows.

Transfer as Zeiler & Fergus (2013, section 5.2) do it keeps layers 1 to 7 of a trained net fixed and trains a new
softmax on top; fine-tuning trains all of it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import nn

from convscope.config import PathText, build_config, config
from convscope.data.classnames import are_same_classes
from convscope.data.module import ImageData
from convscope.data.trained_images import TrainedImages, trained_images
from convscope.errors import UserError
from convscope.models.checkpoints import Inherited, inherit_, last_row, net_weights, read_checkpoint, rows_of, shortened
from convscope.models.targets import check_target, target_name
from convscope.runs.csv_reader import read_csv
from convscope.runs.unfinished import has_checkpoint

TAKEN = "taken"  # model.freeze=taken: exactly the rows that came from the checkpoint
EXAMPLE = "model.init=outputs/train/<run>/checkpoints/last.ckpt"


@config("model")
class Start:
    """conf/model. init: a checkpoint. take: its rows that are taken (None: all that fit; empty: from scratch, and the
    file is not read). freeze: rows that do not train, "taken" for those taken. kind: "rows", or source and name.
    """

    init: PathText | None
    take: list[str] | None
    freeze: list[str] | Literal["taken"]
    kind: str

    @model_validator(mode="after")
    def _takes_rows_from_a_net(self) -> "Start":
        if self.from_scratch and (self.take or self.freeze == TAKEN):
            key = f"model.take=[{','.join(self.take)}]" if self.take else f"model.freeze={TAKEN}"
            raise UserError(f"{key} needs rows taken from a net; type {EXAMPLE}")
        return self

    @property
    def from_scratch(self) -> bool:
        """Whether no weights come from a checkpoint."""
        return not self.init or (self.take is not None and not self.take)


def read_start(model: Mapping[str, Any]) -> Start:
    """The start in the settings of conf/model. Raises UserError where weights would come from two places."""
    init, weights = model.get("init"), model.get("weights")
    if init and weights:
        raise UserError(f"model.init={init} and model.weights={weights} both give weights; set one of them to null")
    for key in ("init", "weights"):
        if not isinstance(model.get(key), str | None):
            raise UserError(f"model.{key}={model[key]} is no text; model.init is a file, model.weights a name or file")
    kind = _kind_of_net(model)
    rows = {"take": model.get("take"), "freeze": model.get("freeze") or []}
    return build_config(Start, {"init": init, "kind": kind, **rows})


def _kind_of_net(net: Mapping[str, Any]) -> str:
    """ "rows", or the source of a net and its name there; of conf/model, or of a checkpoint's description."""
    if "layers" in net:
        return "rows"
    return f"{net.get('source')} {target_name(net) if net.get('source') == 'python' else net.get('name')}"


def parent_net(settings: Mapping[str, Any], words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The keys of conf/model and conf/data that make the net that of the checkpoint settings["net"].

    words: overrides of the command line. Those of the net win: then there is nothing to change. So do those of its
    input. A set in chunks keeps its size.
    """
    if any(re.match(r"[+~]*model(=|\.(source|name|width|layers)\b)", word) for word in words):
        return {"model": {}, "data": {}}
    about = read_checkpoint(str(settings["net"]), "model.init")["convscope"]
    net, scale = about["net"], about["pixel_scale"]
    if net.get("source") == "python":
        check_target(net, settings["model"], str(settings["net"]))
    if "layers" not in net:
        return {"model": {"source": net["source"], "name": net["name"], "weights": None}, "data": {"image_size": None}}
    last = list(net["layers"])[-1]
    layers = {**net["layers"], last: {**net["layers"][last], "units": "classes"}}
    name = net.get("name", settings["model"]["name"])
    data = {"image_size": net["image_size"]} | ({"pixel_scale": scale} if isinstance(scale, float | int) else {})
    typed = {word.lstrip("+").partition("=")[0] for word in words}
    data = {key: value for key, value in data.items() if f"data.{key}" not in typed}
    if settings["data"].get("source") == "stream":
        data.pop("image_size", None)
    return {"model": {"source": "rows", "name": name, "width": 1.0, "layers": layers}, "data": data}


def start_checkpoint(start: Start) -> dict[str, Any] | None:
    """The checkpoint to start from, None for a start from scratch.

    A net of rows can take rows from any net of rows; a net of a library only from nets of the same name, because its
    module paths are its own, and one of Python only from one of the same target. Raises UserError for other pairs, and
    as read_checkpoint does.
    """
    if start.from_scratch:
        return None
    checkpoint = read_checkpoint(str(start.init), "model.init")
    net = checkpoint["convscope"]["net"]
    kind = _kind_of_net(net)
    if kind != start.kind:
        if net.get("source") == "python":
            check_target(net, {}, str(start.init))
        raise UserError(
            f"{start.init} holds a net of {kind}, this is one of {start.kind}: they share no names; "
            "a net of rows starts from any other of rows, another net from one of the same name"
        )
    return checkpoint


def images_of_run(run: Path) -> TrainedImages | None:
    """The images that the run in this folder was trained on, None where it has not begun. Raises as read_checkpoint."""
    about: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        about = dict(json.loads((run / "about.json").read_text(encoding="utf-8")))
    description = {"class_names": about.get("classes"), "images": about.get("images", {})}
    if (last := run / "checkpoints" / "last.ckpt").is_file():
        description |= read_checkpoint(last)["convscope"]
    return trained_images(description) if description["class_names"] else None


def left_out_by_run(run: Path) -> list[str]:
    """Names of the images that the run in this folder has left out: mended or not, it goes on without them."""
    if not has_checkpoint(run) or not (path := run / "bad_images.csv").is_file():
        return []
    table = read_csv(path, ["path", "reason"], "the file as the run wrote it, or no such file")
    return [cells[table.columns.index("path")] for _, cells in table.rows]


def apply_start_(net: nn.Module, start: Start, checkpoint: dict[str, Any] | None, data: ImageData) -> dict[str, Any]:
    """Loads the checkpoint's weights into the net, freezes rows, and returns the entries of summary.json about it.

    The last row keeps its new weights where the data's classes are not those of the checkpoint, by their folders or
    names, even if their number is the same: its units stand for other classes. Raises UserError as inherit_ and
    freeze_ do.
    """
    facts: dict[str, Any] = {}
    sentences, frozen = [], start.freeze
    if checkpoint is not None:
        inherited = _inherited(net, start, checkpoint, data)
        same_mean = torch.equal(data.mean, checkpoint["convscope"]["mean"])
        mean = "the checkpoint's" if same_mean else "that of the new images"
        facts = {"init": start.init, "taken": inherited.taken, "new": inherited.new, "unused": inherited.unused}
        facts |= {"mean": mean}
        sentences = [inherited.words(str(start.init)), f"the mean image is {mean}"]
        frozen = inherited.taken if frozen == TAKEN else frozen
    if frozen:
        facts["frozen"] = freeze_(net, list(frozen))
        sentences.append(f"frozen: {shortened(facts['frozen'], rows_of(net, net.state_dict()))}")
    return facts | ({"words": "; ".join(sentences)} if sentences else {})


def freeze_(net: nn.Module, rows: Sequence[str]) -> list[str]:
    """Freezes the weights of these rows and the statistics of their batch norms, but not their dropout.

    In a net of a library a row is a module by its path, with everything inside it. Returns all frozen rows of the net.
    Raises UserError for a row that does not exist or has no weights, and where no weight would be left to train.
    """
    weighted = list(rows_of(net, net.state_dict()))
    for row in rows:
        if not any(f"{path}.".startswith(f"{row}.") for path in weighted):
            possible = ", ".join(weighted[:24] + ["..."] * (len(weighted) > 24))
            raise UserError(f"model.freeze: no row {row} with weights in this net; it has {possible}")
    for row in rows:
        module = net.get_submodule(row).requires_grad_(False)
        for part in module.modules():
            if getattr(part, "running_mean", None) is not None:
                part.eval()
    if not any(weight.requires_grad for weight in net.parameters()):
        raise UserError(
            f"model.freeze holds every row of the net, {last_row(net)} too: nothing is left to train; "
            f"freeze all but {last_row(net)}"
        )
    return [row for row, weights in rows_of(net, dict(net.named_parameters())).items() if not _trains(weights)]


def _trains(row: Mapping[str, torch.Tensor]) -> bool:
    return any(weight.requires_grad for weight in row.values())


def _inherited(net: nn.Module, start: Start, checkpoint: dict[str, Any], data: ImageData) -> Inherited:
    state, last = net_weights(checkpoint), last_row(net)
    refused, old_names = {}, checkpoint["convscope"]["class_names"]
    if not are_same_classes(data.classes, data.folders, old_names, checkpoint["convscope"].get("class_folders", [])):
        count, old_count = len(data.classes), len(old_names)
        old = f"the checkpoint has {old_count}" if count != old_count else "the checkpoint has others"
        refused[last] = f"{count} classes, {old}"
    if start.take is not None:
        refused |= {row: "not in model.take" for row in rows_of(net, net.state_dict()) if row not in start.take}
    inherited = inherit_(net, state, refused)
    for row in start.take or ():
        if row not in inherited.taken:
            why = inherited.new.get(row, "no such row with weights in this net")
            raise UserError(f"model.take: {row} cannot be taken ({why}); model.take=null takes every row that fits")
    return inherited
