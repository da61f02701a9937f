"""Every command in README and docs runs, made small by words appended to it."""

import importlib.util
import json
import re
import shlex

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from conftest import ROOT, convscope, python
from convscope.analyses import abouts
from convscope.cli.jobs import JOBS

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ONE = ["trainer.max_epochs=1", "evolution.maps=2"]
FEW = {  # words that make a job small
    "job=occlude": ["occlude.images=1", "occlude.scored=4", "occlude.stride=16"],
    "job=invariance": ["invariance.images=2", "invariance.scored=4"],
    "job=sanity": ["sanity.maps=2", "sanity.searched=20", "sanity.stages=2", "sanity.layers=[conv1]"],
    "job=correspond": ["correspond.images=4", "correspond.random=2"],
    "job=diagnose": ["diagnose.images=20"],
    "job=dissect": ["dissect.images=4", "dissect.shuffles=1"],
    "job=receptive": ["receptive.images=4"],
    "job=neighbors": ["neighbors.images=2"],
    "job=ablate": ["ablate.images=6", "ablate.maps=4", "ablate.random=2", "ablate.mistakes=1"],
    "job=claims": ["claims.scored=6"],
    "experiment=first_layers": ["optim.batch_size=10", "evolution=off"],
    "-m": ["evolution=off"],
    "model.name=vgg16": ["model.name=squeezenet1_0"],  # whose weights are drawn at random in no time
    "job=match": ["match.images=8", "match.pairs=1", "match.tile=16"],
    "job=evaluate": ["evaluate.images=10"],
    "job=transfer": ["transfer.per_class=[3]", "transfer.folds=2"],
    "job=overlap": ["overlap.copies=4"],
}

AGAIN = {  # commands that repeat the sweep of another with other settings -> words that leave some of its rows
    ("experiment=table3", "optim=quick"): ["model=replication,zfnet"],
    ("experiment=first_layers", "data=folder"): ["optim.renorm=0.1"],
}

SLURM = "cluster/test_clusters.py"
ELSEWHERE = {  # command -> the test that runs it and looks at what it leaves
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=2 seed=0,1 hydra.sweep.dir=outputs/sweep/seeds": SLURM,
    "'logger=[wandb,tensorboard,mlflow]'": "loggers/test_loggers.py",
    "-m hydra/launcher=submitit_local hydra.launcher.tasks_per_node=2 trainer.devices=2": SLURM,
    "-m hydra/launcher=slurm hydra.launcher.partition=gpu hydra.launcher.gpus_per_node=1 seed=0,1": SLURM,
    "-m hydra/launcher=slurm trainer.num_nodes=2 trainer.devices=4 hydra.launcher.gpus_per_node=4": SLURM,
    "trainer.devices=2": "cluster/test_processes.py",
    "job=visualize ckpt=outputs/train/<run>/checkpoints/last.ckpt trainer.devices=2": "cluster/test_looking_jobs.py",
    "model=compact": "cli/test_conf.py",
    "serve outputs": "cli/test_serve.py",
    "experiment=search": "cli/test_search.py",
    "experiment=search hydra/sweeper=optuna hydra.sweeper.direction=maximize hydra.sweeper.n_trials=20 hydra.sweeper"
    ".n_jobs=1 hydra.sweeper.sampler.seed=0 'optim.lr=tag(log,interval(0.0001,0.01))'": "cli/test_search.py",
    "trainer.num_nodes=2": SLURM,
    "job=visualize ckpt=outputs/train/<run> model=python model.target=my_package.nets:MyNet "
    "model.args='{width: 2}'": "cli/test_python_net.py",
    "resume=outputs/train/<run> model.target=my_package.nets:MyNet model.args='{width: 2}'": "cli/test_python_net.py",
    "job=match match.runs=outputs/sweep/seeds": "analyses/matching/test_job.py",
    "job=export run=outputs/train/<run> export.what=film export.layer=conv3 export.map=5": "cli/test_export.py",
    "job=export run=outputs/train/<run> export.what=poster export.layer=conv3 export.map=5": "cli/test_export.py",
    "job=export run=outputs/train/<run> export.what=film": "cli/test_export.py",
    "job=export run=outputs/train/<run> export.what=poster export.layer=conv3": "cli/test_export.py",
    "job=export run=outputs/train/<run> export.what=figure": "cli/test_export.py",
    "job=sparsity --help": "test_adding_an_analysis.py",
    "job=sparsity ckpt=outputs/train/<run>/checkpoints/last.ckpt": "test_adding_an_analysis.py",
}


def commands():
    """The commands `python src/run.py ...` in code spans and code blocks, each once."""
    found = {}
    for document in DOCUMENTS:
        for words in re.findall(r"`?python src/run\.py([^`\n|]*)", document.read_text()):
            found.setdefault(re.sub(r"\s+#.*", "", words).strip(), document.name)
    return sorted(found)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of noise where the documents say /photos, with boxes of objects and places of parts."""
    root = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("n01", "n02"):
            (root / split / name).mkdir(parents=True)
            for number in range(10):
                noise = draw.integers(0, 256, (80, 90, 3), np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{number}.jpg")
    images = [f"val/{name}/{number}.jpg" for name in ("n01", "n02") for number in range(4)]
    (root / "val_boxes.csv").write_text("\n".join(["path,x0,y0,x1,y1", *(f"{path},20,20,70,60" for path in images)]))
    objects = ["path,x0,y0,x1,y1,part", *(f"{path},20,20,70,60,{path[4:7]}" for path in images)]
    (root / "object_boxes.csv").write_text("\n".join(objects))
    parts = ["path,eye_x,eye_y,nose_x,nose_y,frontal", *(f"{path},30,30,45,50,1" for path in images)]
    (root / "landmarks.csv").write_text("\n".join(parts))
    for path in images:
        mask = (root / "masks/eye" / path).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (90, 80), 255).save(mask)
    return root


def small(words, cache):
    """What makes a command small: few images, a narrow net, one epoch, no network."""
    text = " ".join(words)
    if {"--help", "job=report", "job=export", "job=table"} & set(words) or re.search(
        r"--cfg|diagnose\.runs=|resume=(?!auto)", text
    ):
        return []
    added = [*ONE, f"data.cache_dir={cache}", "trainer.accelerator=cpu"]
    added += [word for said, few in FEW.items() if said in words for word in few]
    added += [word for said, few in AGAIN.items() if {*said} <= {*words} for word in few]
    if re.search(r"\b(ckpt|run)=", text):
        return added  # net and images are those of the run
    added += ["data.image_size=64"]
    added += ["data.limit=20"] if re.search(r"data=|data\.root", text) else ["data.train=20", "data.val=20"]
    if "model.weights=" in text or re.search("model=(torchvision|timm)", text):
        added += ["model.weights=null"]  # weights need a network, or a file
    if re.search("model=(torchvision|timm|python)", text):
        return [*added, "match.layers=[features.3,features.12]"] if "job=match" in words else added
    if not re.search(r"job=|evolution\.|evolution=|experiment=(first|table|transfer|search)|^-m", text):
        added += ["evolution.layers=[conv1_1]" if "model=vgg" in text else "evolution.layers=[conv1]"]
        added += ["evolution.measures=[]"]
    return [*added, "model.width=0.1" if "model.init=" in text else "model.width=0.05"]


def of_a_file():
    """The commands that look at a net with weights from a file and run in this process, job=transfer first."""
    words = "model.weights=/weights/squeezenet1_0.pth data=folder"
    looks = [command for command in commands() if words in command and not command.startswith("job=evaluate")]
    return sorted(looks, key=lambda command: not command.startswith("job=transfer"))


def different():
    """The commands but those that, once they are small, are the same as another."""
    found = {}
    for command in commands():
        words = shlex.split(command)
        replaced = {word.partition("=")[0] for word in small(words, "cache")}
        found.setdefault(tuple(word for word in words if word.partition("=")[0] not in replaced), command)
    return [command for command in found.values() if command not in of_a_file()]


@pytest.mark.parametrize("command", sorted({*commands()} - {*different(), *of_a_file()}))
def test_a_command_that_is_small_the_same_as_another_composes(command):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = compose("config", overrides=shlex.split(command.replace("<run>", "run")))
    OmegaConf.to_container(composed, resolve=True)


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory, photos, cache):
    """A function from a command of `of_a_file` to its run folder; each command runs once, with random weights."""
    import torch
    import torchvision

    base, folders = tmp_path_factory.mktemp("looks"), {}
    places = {"/weights": base, "/photos": photos, "outputs/transfer/<run>": base / "0"}
    net = torchvision.models.squeezenet1_0(num_classes=2)  # those of the photographs
    torch.save(net.state_dict(), base / "squeezenet1_0.pth")

    def run(command):
        if command in folders:
            return folders[command]
        folder = folders[command] = base / str(len(folders))
        words = [re.sub("|".join(places), lambda path: str(places[path[0]]), word) for word in shlex.split(command)]
        few = [word for word in small(shlex.split(command), cache) if not word.startswith("model.weights=")]
        (about,) = (about for about in abouts().values() if f"job={about.job}" in words)
        few += [word for word in about.tiny if ".layers=" not in word]
        few += [f"{about.job}.layers=[features.3,features.12]"] if about.job in ("sanity", "match", "dissect") else []
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            composed = OmegaConf.to_container(compose("config", overrides=[*words, *few]), resolve=True)
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(composed))  # as cli/program.py does
        JOBS[composed["job"]](composed | {"words": words}, folder)
        return folder

    run(of_a_file()[0])
    return run


@pytest.mark.slow
@pytest.mark.parametrize("command", of_a_file())
def test_command_on_a_net_from_a_file(command, looked_at):
    assert json.loads((looked_at(command) / "summary.json").read_text())["finished"]


@pytest.mark.parametrize("command", different())
def test_command(command, trained, photos, tmp_path, cache):
    words = [word.replace("/photos/chunks", f"{tmp_path}/chunks") for word in shlex.split(command)]
    words = [word.replace("/photos", str(photos)) for word in words]
    words = [re.sub(r"outputs/train/<run>", str(trained), word) for word in words]
    words = [re.sub(r"outputs/sweep/table3", str(trained.parent), word) for word in words]
    words = ["seed=0" if word == "seed=0,1,2" else word for word in words]  # Table 2 has several seeds
    if "model=python" in words:
        (tmp_path / "my_package").mkdir()
        (tmp_path / "my_package/nets.py").write_text(python_block())
    if command in ELSEWHERE:
        pytest.skip(f"tests/{ELSEWHERE[command]} runs it")
    if "model=mine" in words:
        pytest.skip("the net of this command is the reader's own; its yaml is tested below")
    if "data=stream" in words:  # trains on what the command before it has converted
        before = ["job=convert", "data=folder", f"data.root={photos}", "data.image_size=64"]
        before += [f"convert.to={tmp_path}/chunks", f"hydra.run.dir={tmp_path}/convert"]
        assert convscope(*before, cwd=tmp_path).returncode == 0
    place = [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]
    place = place if not re.search("--help|job=report|job=export|resume=", command) else []
    ended = convscope(*words, *small(words, cache), *place, cwd=tmp_path, WANDB_API_KEY="", HOME=str(tmp_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not re.search("glyph|pruned|fontManager", ended.stdout + ended.stderr, re.IGNORECASE)  # news of fonts
    nets = {"experiment=table2": 7, "experiment=table3": 2 if "optim=quick" in words else 12}
    if len(words) > 1 and words[0] in nets:
        assert len(list(tmp_path.glob("sweep/*/checkpoints/last.ckpt"))) == nets[words[0]]


def python_block():
    """The net in Python of docs/own_nets_and_data.md."""
    (text,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own_nets_and_data.md").read_text(), re.DOTALL)
    return text


def test_the_documents_have_commands():
    assert len(commands()) >= 12
    assert set(commands()) >= ELSEWHERE.keys()


def test_the_net_in_the_docs_is_one():
    import yaml

    from convscope.models.build import build

    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/own_nets_and_data.md").read_text(), re.DOTALL)
    net = build(yaml.safe_load(text)["layers"], image_size=64, classes=5)
    assert [name for name, _ in net.named_children()] == ["conv1", "pool1", "conv2", "fc3", "fc4"]


def test_pictures_and_files_that_the_documents_name_are_there():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A torch home with the file that torchvision would download for resnet18; its numbers are random."""
    import torch
    import torchvision

    home = tmp_path_factory.mktemp("torch")
    name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (home / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), home / "hub" / "checkpoints" / name)
    return home


@pytest.fixture(scope="module")
def runner():
    """notebooks/execute.py as a module."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SMALLER = {"watch_your_training": ("critters(train=200, val=80,", "critters(train=40, val=40,")}  # cells of a notebook
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(notebook, tmp_path, trained, photos, weights, cache, runner):
    for place in ("notebooks", "outputs/train"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "outputs/train/notebook").symlink_to(trained)
    copy, (large, small) = tmp_path / "notebooks" / notebook.name, SMALLER.get(notebook.stem, ("", ""))
    text = notebook.read_text(encoding="utf-8")
    assert large in text
    copy.write_text(text.replace(large, small), encoding="utf-8")
    env = {"PHOTOS": photos / "val" / "n01", "TORCH_HOME": weights, "CONVSCOPE_CACHE": cache, "MPLBACKEND": "agg"}
    env = {name: str(value) for name, value in env.items()}
    ended = python(runner.__file__, copy, cwd=tmp_path / "notebooks", **env)
    assert ended.returncode == 0, ended.stderr
    if notebook.stem in runner.STORED:
        kept, anew = (json.loads(path.read_text()) for path in (notebook, copy))
        assert runner.kinds(kept) == runner.kinds(anew)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_those_of_the_cells_and_small(notebook, runner):
    kept = json.loads(notebook.read_text())
    if notebook.stem not in runner.STORED:
        assert not any(runner.kinds(kept))
        return
    assert kept["metadata"]["executed"] == runner.fingerprint(kept), "a cell has changed; type: make notebooks"
    assert notebook.stat().st_size < 300_000
    assert not re.search(r"/home/|/root|/tmp/|/Users/|Warning", notebook.read_text())
