"""Results as text, in a notebook and as files; units with their pictures; names in the package."""

import ast
import base64
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import convscope
from convscope import api
from convscope.api.findings import collect
from convscope.errors import UserError
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Table


def findings(numbers=2):
    figure = Figure(figsize=(2, 1))
    figure.text(0.5, 0.5, "drawn letters")
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    return collect("occlude", [
        Picture("occlusion/tiles", image, "tiles <b> & more"), Picture("occlusion/plot", figure, "a plot", plot=True),
        Picture("images/0", image, "for the page"),
        *(Number(f"occlusion/number_{at}", at / 3, f"caption {at}") for at in range(numbers)),
        Table("occlusion/plot", [{"image": "a<b", "value": 0.123456, "none": None}] * 20, "rows"),
        Arrays("occlusion/array", {"values": torch.arange(3)}),
    ])  # fmt: skip


def test_results_are_found_by_name():
    found = findings()
    assert found.numbers == {"occlusion/number_0": 0, "occlusion/number_1": 1 / 3}
    assert found.tables["occlusion/plot"][0]["value"] == 0.123456
    assert torch.equal(found.arrays["occlusion/array"]["values"], torch.arange(3))
    assert found.figure() is found.pictures["occlusion/tiles"] and found.figure("plot").savefig
    assert found.figure("images/0") is found.pictures["images/0"]
    with pytest.raises(UserError, match=r"no picture plots \(did you mean .*possible: occlusion/tiles, occlusion/plot"):
        found.figure("plots")
    with pytest.raises(UserError, match="no picture"):
        collect("transfer", [Number("a", 1.0)]).figure()


def test_a_result_is_a_few_lines():
    lines = repr(findings(40)).splitlines()
    assert lines[0] == "occlude: 2 pictures, 40 numbers, 1 table, 1 set of arrays" and len(lines) == 14
    assert lines[-1] == "  and 28 more in .numbers" and lines[2].split() == ["occlusion/number_1", "0.3333"]
    assert repr(collect("occlude", [Table("a", [])])) == "occlude: 1 table"


def test_what_came_out_stands_first(tmp_path):
    words = "Of 4 <b>, 3 [1, 4]."
    found = collect("occlude", [Conclusion("occlusion", words), *findings().results])
    assert found.conclusion == words and findings().conclusion == ""
    assert repr(found).splitlines()[1] == f"  {words}"
    html = found._repr_html_()
    assert html.index("Of 4 &lt;b&gt;, 3 [1, 4].") < html.index("<figure")
    found.save(tmp_path / "run")
    first = json.loads((tmp_path / "run/index.jsonl").read_text().splitlines()[0])
    assert first == {"kind": "conclusion", "name": "occlusion", "caption": words}


def test_a_notebook_shows_pictures_captions_and_tables():
    html = findings(40)._repr_html_()
    kinds = re.findall(r"data:image/(\w+);base64,([^\"]+)", html)
    assert [kind for kind, _ in kinds] == ["jpeg", "png"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(data))).size for _, data in kinds]
    assert sizes == [(4, 4), (220, 110)]
    closed = re.sub("<img([^>]*)>", r"<img\1/>", html)
    page = xml.fromstring(f"<div>{closed}</div>")  # every other tag is closed
    cells = ["".join(cell.itertext()) for cell in page.iter("td")]
    assert "a<b" in cells and "0.1235" in cells and "and 28 more numbers" in "".join(page.itertext())
    assert "tiles <b> & more" in "".join(page.itertext()) and "images/0" not in html
    assert findings().figure("plot")._repr_png_().startswith(b"\x89PNG")  # a figure alone, without pyplot


@pytest.mark.parametrize("name", ["tiles", "plot"])
def test_pictures_are_saved_and_open_again(name, tmp_path):
    found, size = findings(), (4, 4) if name == "tiles" else (200, 100)
    for ending in ("png", "jpg", "jpeg"):
        assert Image.open(found.save(tmp_path / f"a.{ending}", name)).size == size
    root = xml.parse(found.save(str(tmp_path / "a.svg"), name)).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    if name == "tiles":
        address = next(root.iter("{http://www.w3.org/2000/svg}image")).get("href")
        inside = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        assert np.array_equal(np.asarray(inside), np.asarray(found.figure(name)))
    pdf = found.save(tmp_path / "A.PDF", name).read_bytes()
    assert pdf.startswith(b"%PDF") and b"%%EOF" in pdf[-20:] and b"/Page" in pdf
    with pytest.raises(UserError, match=r"ends in \.gif; possible: \.png"):
        found.save(tmp_path / "a.gif", name)


def test_all_results_are_saved_as_a_run_folder(tmp_path):
    found = findings()
    run = convscope.read_run(found.save(tmp_path / "all"))
    assert run.summary["numbers"] == pytest.approx(found.numbers)
    assert (tmp_path / "all/tables/occlusion/plot.csv").read_text().startswith("image,value,none\na<b,0.123456,\n")
    assert {entry.name for entry in run.entries if entry.kind == "picture"} == set(found.pictures)
    assert (tmp_path / "all/occlusion/array.safetensors").is_file()
    with pytest.raises(UserError, match="has no ending"):
        found.save(tmp_path / "all", "plot")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        found.save(tmp_path / "file" / "a.png")


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(),
                        nn.Linear(4 * 16, 2))  # fmt: skip
    return net, torch.rand(12, 3, 14, 14)


def test_units_have_short_words_and_pictures(small):
    net, images = small
    tops = convscope.top9(net, images)
    assert list(tops) == ["1", "4"] and len(repr(tops)) < 200 and len(repr(tops["1"])) < 80
    with torch.no_grad():
        values = net[:2](images).flatten(2)
    assert torch.equal(tops["1"].image[:, 0], values.amax(2).argmax(0))
    assert tops.figure("1", [0, 2]).tobytes() == convscope.grid(net, tops, "1", [0, 2]).tobytes()
    subject = convscope.subject(net, images)
    again = convscope.top9(subject, ["1"], "val")  # as in version 0.1
    assert torch.equal(again["1"].score, tops["1"].score) and "<img" in again._repr_html_()
    assert convscope.grid(subject, dict(again), "1", maps=2).width > 100
    with pytest.raises(UserError, match="do not say their images"):
        convscope.grid(net, dict(again), "1")
    with pytest.raises(UserError, match="no record of 4"):
        convscope.grid(net, again, "4")


def test_projections_are_the_gradient_where_the_rule_is(small):
    net, images = small
    batch = images[:3].clone().requires_grad_()
    units = net[:5](batch)[:, 2].flatten(1)
    (expected,) = torch.autograd.grad(units.amax(1).sum(), batch)
    projected = convscope.project(net, images[:3], "4", 2, "gradient")
    size = projected.values.shape[-1]
    for at, (top, left) in enumerate(zip(projected.top.tolist(), projected.left.tolist(), strict=True)):
        window = expected[at, :, top : top + size, left : left + size]
        assert torch.allclose(projected.values[at], window, atol=1e-6)
    assert len(repr(projected)) < 120 and projected.figure().width > 10 and "<img" in projected._repr_html_()
    with pytest.raises(UserError, match="maps 0 to 3, not 9"):
        convscope.project(net, images, "4", 9)


def test_receptive_fields_are_those_of_the_arithmetic(small, tmp_path):
    net, images = small
    fields = convscope.receptive_fields(net, images)
    assert [(row["field"], row["stride"], row["start"]) for row in fields.rows][:3] == [(3, 1, 0), (4, 2, 0), (8, 2, 0)]
    assert Image.open(fields.save(tmp_path / "fields.png")).width > 500 and "<table" in fields._repr_html_()
    assert convscope.receptive_fields(net, 14).rows == fields.rows


def test_the_package_lists_what_it_has_and_help_has_a_line_for_each():
    tree = ast.parse(Path(convscope.__file__).read_text(encoding="utf-8"))
    watching = ["FeatureEvolution", "watch"]
    assert sorted(convscope.__all__) == sorted([*api.__all__, *watching]) and {*convscope.__all__} <= {*dir(convscope)}
    for name in convscope.__all__:
        assert name in watching or getattr(convscope, name) is getattr(api, name)
        if name[0].islower():
            assert re.search(rf"^    (\w+, )*{name}\b.*   \w", ast.get_docstring(tree), re.M), name
            assert getattr(convscope, name).__doc__
    assert re.fullmatch(r"\d+\.\d+.*", convscope.__version__)
    with pytest.raises(AttributeError, match="no attribute 'top10'"):
        convscope.top10  # noqa: B018


def test_the_package_imports_nothing_before_it_is_used():
    code = "import sys, convscope; print(dir(convscope)); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    code += "; import convscope.cli.exports.job; print('torch' in sys.modules)"  # which reads what runs have written
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "occlude" in shown and shown.splitlines()[-2:] == ["[]", "False"]
