"""Executes notebooks and stores what their cells show, so that they can be read where nothing runs.

    python notebooks/execute.py [<notebook> ...]     without a name: every one whose outputs are stored (make notebooks)

Needs no Jupyter. Pictures are small JPEGs; what goes to the terminal, such as progress, is not kept.
"""

import ast
import base64
import contextlib
import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STORED = (
    "look_inside",
    "read_a_run",
    "deconvnet_by_hand",
    "watch_your_training",
)  # your_photos is about photographs that only you have
QUALITY = 75


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its code cells, run one after another in one namespace."""
    space: dict[str, Any] = {"__name__": "notebook"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell = cell | {"outputs": _run("".join(cell["source"]), space, count), "execution_count": count}
        cells.append(cell)
    return notebook | {"cells": cells, "metadata": notebook["metadata"] | {"executed": fingerprint(notebook)}}


def fingerprint(notebook: dict[str, Any]) -> str:
    """Of the code of all cells; stored beside their outputs, it tells whether these are still those of the cells."""
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:16]


def kinds(notebook: dict[str, Any]) -> list[list[str]]:
    """For each code cell what it shows: "stdout", or the types of a display, e.g. "image/jpeg text/plain"."""
    cells = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [[" ".join(sorted(each.get("data", ["stdout"]))) for each in outputs] for outputs in cells]


def _run(source: str, space: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What a cell shows: what it prints and displays, and the value of its last line where that is an expression."""
    outputs: list[dict[str, Any]] = []
    space["display"] = lambda value: outputs.append(_output("display_data", value))
    *lines, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        lines.append(last)
    with contextlib.redirect_stdout(_Printed(outputs)):
        exec(compile(ast.Module(lines, []), "cell", "exec"), space)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), space) if isinstance(last, ast.Expr) else None
    if value is not None:
        outputs.append(_output("execute_result", value) | {"execution_count": count})
    return outputs


class _Printed(io.TextIOBase):
    """Text goes into the outputs; what follows directly, into the same one."""

    def __init__(self, outputs: list[dict[str, Any]]):
        self.outputs = outputs

    def write(self, text: str) -> int:
        if not self.outputs or self.outputs[-1]["output_type"] != "stream":
            self.outputs.append({"output_type": "stream", "name": "stdout", "text": []})
        before = "".join(self.outputs[-1]["text"])
        self.outputs[-1]["text"] = (before + text).splitlines(keepends=True)
        return len(text)


def _output(kind: str, value: object) -> dict[str, Any]:
    save: Callable[..., None] | None = getattr(value, "savefig", None)  # a figure of matplotlib
    if save is not None:
        return _picture(kind, "a plot", lambda file: save(file, format="jpeg", pil_kwargs={"quality": QUALITY}))
    draw: Callable[..., None] | None = getattr(value, "save", None)  # an image of Pillow
    if draw is not None:
        return _picture(kind, "a picture", lambda file: draw(file, format="jpeg", quality=QUALITY))
    return {"output_type": kind, "data": {"text/plain": repr(value).splitlines(keepends=True)}, "metadata": {}}


def _picture(kind: str, words: str, save: Callable[[io.BytesIO], None]) -> dict[str, Any]:
    file = io.BytesIO()
    save(file)
    data = {"image/jpeg": base64.b64encode(file.getvalue()).decode(), "text/plain": [words]}
    return {"output_type": kind, "data": data, "metadata": {}}


def main() -> None:
    for path in [Path(word) for word in sys.argv[1:]] or [HERE / f"{name}.ipynb" for name in STORED]:
        found = executed(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
