"""A wheel and a source distribution, built from the checkout; the wheel in an environment of its own."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_string

import pytest

import convscope
from conftest import ROOT
from convscope.cli.environment import OF_PROGRAM

TINY = ["data.train=20", "data.val=20", "data.image_size=64", "data.workers=0", "model.width=0.05", "evolution.maps=2",
        "evolution.layers=[conv1]", "optim.batch_size=10", "trainer.max_epochs=1",
        "trainer.accelerator=cpu"]  # fmt: skip
INSTALL = (ROOT / "README.md").read_text().partition("## Install\n")[2].partition("\n## ")[0]
HEAVY = (*OF_PROGRAM, "lightning", "lightning_fabric", "sklearn", "wandb", "tensorboard", "mlflow", "timm", "litdata")
REFUSING = "import sys; sys.modules |= dict.fromkeys(sys.argv.pop(1).split(','))\n"  # as if they were not installed


def without(libraries, script, *words, cwd, **variables):
    """The finished process of a script that cannot import the libraries."""
    command = [sys.executable, "-c", REFUSING + script, ",".join(libraries), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_the_package_itself_imports_nothing_slow(tmp_path):
    script = "import convscope; print(convscope.__version__, len(sys.modules), *dir(convscope))"
    ended = without([*HEAVY, "torch", "numpy", "pydantic", "yaml"], script, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    version, count, *names = ended.stdout.split()
    assert version == convscope.__version__ and int(count) < 150
    assert set(convscope.__all__) <= set(names)


def test_a_command_is_read_before_anything_slow_is_imported(tmp_path):
    """--help, and the line about a wrong word, wait for no torch."""
    script = "from convscope.__main__ import main; main()"
    helped = without(["torch", "numpy", "scipy", "matplotlib", "pytorch_lightning"], script, "--help", cwd=tmp_path)
    assert helped.returncode == 0 and "model=" in helped.stdout, helped.stderr
    refused = without(["torch", "numpy", "scipy", "matplotlib", "pytorch_lightning"], script, "seed=x", cwd=tmp_path)
    assert (refused.returncode, refused.stderr) == (1, "convscope: seed=x is no seed; take a whole number from 0 on\n")


LOOKING = """
import convscope, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

print(*(name for name in convscope.__all__ if hasattr(convscope, name)))
net = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
                    nn.Flatten(), nn.Linear(200, 3))
images = TensorDataset(torch.randn(24, 3, 32, 32), torch.arange(24) % 3)
subject = convscope.subject(net, images, train=images, mean=0.5, std=0.2)
convscope.grid(subject, convscope.top9(subject, ["0"]), "0", maps=1)
convscope.project(subject, images[0][0][None], "0", 1)
convscope.receptive_fields(net, images)
convscope.visualize(subject, maps=1)
convscope.invariance(subject, images=1, scored=2)
convscope.occlude(subject, images=1, stride=16, searched=4, scored=2)
convscope.diagnose(subject, images=8, maps=2)
convscope.neighbors(subject, images=2, nearest=2, scored=4)
convscope.evaluate(subject, images=8)
convscope.transfer(subject, per_class=[2], test_per_class=2, folds=2)
convscope.overlap(subject, copies=2)
with convscope.watch(net, DataLoader(images, 8), folder="watched", mean=0.5, std=0.2) as watching:
    watching.epoch(1, {"val/top1": 0.5})
"""


@pytest.mark.slow
def test_the_library_looks_into_a_net_without_the_libraries_of_the_program(tmp_path):
    ended = without(HEAVY, LOOKING, cwd=tmp_path, HOME=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0].split() == list(convscope.__all__)
    assert (tmp_path / "watched/report/index.html").is_file()


@pytest.mark.parametrize(
    "library, words, extra",
    [("hydra", ["trainer=smoke"], "train"), ("hydra_plugins", ["-m", "hydra/launcher=joblib"], "cluster")],
)
@pytest.mark.slow
def test_a_library_that_is_missing_is_named_with_what_to_type(library, words, extra, tmp_path):
    ended = without([library], "from convscope.__main__ import main; main()", *words, cwd=tmp_path)
    assert ended.returncode == 1 and not list(tmp_path.iterdir())
    (line,) = ended.stderr.splitlines()
    assert line.startswith("convscope: ") and line.endswith(f"; type pip install 'convscope[{extra}]'")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and source distribution, built from a copy of the files in git."""
    place = tmp_path_factory.mktemp("built")
    source = place / "convscope"
    for name in ("src", "conf", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        path = ROOT / name
        shutil.copytree(path, source / name, ignore=ignore) if path.is_dir() else shutil.copy(path, source / name)
    script = f"from setuptools import build_meta as b; b.build_sdist({str(place)!r}); b.build_wheel({str(place)!r})"
    ended = subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    (wheel,), (archive,) = place.glob("*.whl"), place.glob("*.tar.gz")
    return wheel, archive


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """A new environment with the wheel; its other libraries are those of the environment of the tests."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=300)
    install = [place / "bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", built[0]]
    subprocess.run(install, check=True, timeout=300, env=variables_without_checkout())
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return place


def variables_without_checkout():
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def program(environment, *words, cwd):
    """The finished process of an installed program, without anything that names the checkout."""
    variables = variables_without_checkout()
    command = [*map(str, (environment / "bin" / words[0], *words[1:]))]
    variables |= {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_wheel_and_source_hold_conf_as_it_is(built):
    wheel, archive = built
    conf = files(ROOT / "conf")
    assert len(conf) > 60
    with zipfile.ZipFile(wheel) as opened:
        packed = {name: opened.read(name) for name in opened.namelist()}
    assert {name.removeprefix("convscope/conf/"): content for name, content in packed.items()
            if name.startswith("convscope/conf/")} == conf  # fmt: skip
    assert {name.split("/")[0] for name in packed} == {"convscope", f"convscope-{convscope.__version__}.dist-info"}
    code = {name: content for name, content in files(ROOT / "src").items() if "__pycache__" not in name}
    modules = {name: content for name, content in code.items() if name.startswith("convscope/")}
    assert modules.items() <= packed.items()
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {f"conf/{name}" for name in conf} | {f"src/{name}" for name in modules} | {"setup.py"} <= names


@pytest.mark.slow
def test_the_library_needs_few_others_and_all_is_every_library_of_the_program(built):
    with zipfile.ZipFile(built[0]) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith("METADATA"))
        metadata = message_from_string(opened.read(name).decode())
    assert metadata["Version"] == convscope.__version__
    required = [line.partition(";") for line in metadata.get_all("Requires-Dist")]
    plain = {requirement.partition("<")[0].strip() for requirement, _, extra in required if not extra}
    assert {"torch", "torchvision", "numpy", "pillow", "matplotlib", "safetensors", "jinja2", "rich"} <= plain
    assert not plain & {"pytorch-lightning", "hydra-core", "omegaconf", "torchmetrics", "wandb", "tensorboard"}
    (everything,) = (text for text, _, extra in required if extra.strip() == 'extra == "all"')
    included = set(re.findall(r"\w+", everything)) - {"convscope"}
    extras = set(metadata.get_all("Provides-Extra"))
    assert extras - included == {"all", "dev", "search", "heif", "torchcodec", "film"}
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*? \|", INSTALL, re.M)))) == extras - {"all", "dev"}
    assert set(re.findall(r"^pip install '\.\[(\w+)\]'", INSTALL, re.M)) <= extras


@pytest.mark.slow
def test_the_installed_program_trains_and_continues_from_any_folder(environment, tmp_path):
    """By the command in README, a net of a --config-dir, on two processes; then the training goes on."""
    (name, *own), *others = (shlex.split(line) for line in INSTALL.splitlines() if line.startswith("convscope "))
    assert name == "convscope" and own == ["--config-dir=my_conf", "model=my_net"] and not others
    (tmp_path / "my_conf/model").mkdir(parents=True)
    net = (ROOT / "conf/model/zfnet.yaml").read_text().replace("name: zfnet", "name: my_net")
    (tmp_path / "my_conf/model/my_net.yaml").write_text(f"# the net of somebody else\n{net}")
    helped = program(environment, "python", "-m", "convscope", "--help", own[0], cwd=tmp_path)
    assert helped.returncode == 0 and "the net of somebody else" in helped.stdout
    assert "Usage: convscope [-m]" in helped.stdout and "run.py" not in helped.stdout
    version = program(environment, "convscope", "--version", cwd=tmp_path)
    assert version.stdout == f"convscope {convscope.__version__}\n"
    devices = ["trainer.devices=2", "trainer.strategy=ddp", "optim.schedule=plateau"]
    trained = program(environment, "convscope", *own, *TINY, *devices, "hydra.run.dir=outputs/run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    run = tmp_path / "outputs/run"
    assert json.loads((run / "summary.json").read_text())["finished"]
    assert f"convscope model=my_net {TINY[0]}" in (run / "report/index.html").read_text()
    resumed = program(environment, "python", "-m", "convscope", f"resume={run}", "trainer.max_epochs=2", cwd=tmp_path)
    assert resumed.returncode == 0 and "goes on after epoch" in resumed.stdout, resumed.stdout + resumed.stderr


@pytest.mark.slow
def test_the_installed_program_sweeps_in_other_processes(environment, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
    swept = program(environment, "convscope", "-m", *TINY, "evolution=off", *launcher, "seed=3", cwd=tmp_path)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    summary = json.loads((tmp_path / "sweep/0_zfnet/summary.json").read_text())
    assert summary["finished"] and summary["seed"] == 3
    page = (tmp_path / "sweep/report/index.html").read_text()
    assert "<code>convscope job=table" in page
