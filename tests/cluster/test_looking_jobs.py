"""Jobs that look at a net, on two processes: they leave what one process leaves, to the byte, and end together."""

import json
import multiprocessing
import os
import socket
import traceback

import pytest
import torch
from torch import nn

from cluster.test_clusters import ranks, started
from cluster.test_processes import composed
from conftest import convscope
from convscope.analyses import abouts
from convscope.analyses.inputs import own_device
from convscope.analyses.visualize.compute import merged_tops
from convscope.cli.jobs import JOBS
from convscope.data import shared_passes
from convscope.data.shared_passes import all_results, gathered, joined_processes, own_parts, process, results_in_first
from convscope.engine.top9_search import Search
from convscope.errors import UserError

SMALL = ["trainer.accelerator=cpu", "optim.batch_size=16", "data.workers=0"]  # 40 images are three batches of two ranks
OTHER = ["data=critters", "data.train=40", "data.val=40", "data.image_size=64"]
WORDS = {
    "visualize": ["job=visualize", "evolution.maps=2", "rule=[deconvnet,guided]"],
    "bounded": ["job=visualize", "evolution.maps=1", "model=torchvision", "model.name=mobilenet_v2", *OTHER,
                "data.image_size=32", "evolution.layers=[features.0,features.2]"],
    "neighbors": ["job=neighbors", "neighbors.scored=null"],
    "ten": ["job=evaluate", "evaluate.crops=ten", "evaluate.batch_size=6"],
    "whole": ["job=evaluate", "evaluate.crops=dense", "evaluate.batch_size=4", "evaluate.images=20"],
    "transfer": ["job=transfer", *OTHER, "transfer.layers=[conv1,fc7]", "transfer.per_class=[2]", "transfer.folds=1",
                 "transfer.test_per_class=2", "transfer.c=[1]", "transfer.features=dense", "transfer.scales=[64]"],
    "claims": ["job=claims", "claims.scored=12"],
}  # fmt: skip
MEASURED = {"seconds"}


def two_processes(work, *arguments):
    """Runs work(rank, *arguments) in two processes of one group. Returns the lines that they end with, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    running = [context.Process(target=become, args=(rank, port, answers, work, arguments)) for rank in range(2)]
    for child in running:
        child.start()
    ends = dict(answers.get(timeout=240) for _ in running)
    for child in running:
        child.join()
    return ends[0], ends[1]


def become(rank, port, answers, work, arguments):
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), **address}
    try:
        torch.set_num_threads(1)  # as of the process that they are compared with
        with joined_processes():
            work(rank, *arguments)
        answers.put((rank, "done"))
    except UserError as error:
        answers.put((rank, f"refused: {error}"))
    except BaseException:
        answers.put((rank, traceback.format_exc()))


@pytest.fixture(scope="module")
def folders(trained, tmp_path_factory, cache):
    """The folders of all jobs in one process, and in two."""
    place = tmp_path_factory.mktemp("looking")
    common = [*SMALL, f"data.cache_dir={cache}"]
    settings = {name: composed([*words, *common, *net_words(name, words, trained)]) for name, words in WORDS.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_jobs(0, settings, place / "one")
    finally:
        torch.set_num_threads(threads)
    assert two_processes(run_jobs, settings, place / "two") == ("done", "done")
    return place / "one", place / "two"


def net_words(name, words, trained):
    claims = ["run=" + str(trained)] if name == "claims" else []
    return claims + ([] if "model=torchvision" in words else [f"ckpt={trained}/checkpoints/last.ckpt"])


def run_jobs(rank, settings, place):
    for name, values in settings.items():
        JOBS[values["job"]]({**values, "words": []}, place / name)


def contents(folder):
    """Every file by its name, without what differs from one start to the next: times and paths."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    read = {name: path.read_bytes() for name, path in files.items() if not name.startswith("report/")}
    summary = json.loads(read.pop("summary.json"))
    return read, {key: value for key, value in summary.items() if key not in MEASURED}


@pytest.mark.parametrize("name", WORDS)
def test_two_processes_leave_the_bytes_that_one_leaves(folders, name):
    (one, one_summary), (two, two_summary) = (contents(place / name) for place in folders)
    assert one.keys() == two.keys() and len(one) > 2
    assert [file for file in one if one[file] != two[file]] == []
    assert one_summary == two_summary and one_summary["finished"]


def test_every_job_that_divides_its_images_is_compared():
    assert {words[0].removeprefix("job=") for words in WORDS.values()} == {
        about.job for about in abouts().values() if about.divides
    }


class Capped(nn.Module):
    """Scores that are often equal: whole numbers up to an upper bound."""

    def __init__(self):
        super().__init__()
        self.conv, self.bounded = nn.Conv2d(3, 4, 1, bias=False), nn.ReLU6()
        nn.init.constant_(self.conv.weight, 1)

    def forward(self, images):
        return self.bounded(self.conv(images)).amax((2, 3))


@pytest.mark.parametrize("layer", ["conv", "bounded"])
def test_records_of_any_split_are_those_of_all_images(layer):
    """Equal scores everywhere; beyond the bound the images are ordered by what comes before it, which is not saved."""
    draw, net = torch.Generator().manual_seed(3), Capped().eval()
    images, order = torch.randint(0, 5, (40, 3, 2, 2), generator=draw).float(), torch.randperm(40, generator=draw)

    def record(indices):
        with Search(net, [layer]) as search, torch.inference_mode():
            for part in indices.split(7):
                search.watch(part)
                net(images[part])
        return search.top

    whole = record(torch.arange(40))[layer]
    parts = [record(part) for part in (order[:3], order[3:3], order[3:20], order[20:])]
    travelled = [torch.serialization.pickle.loads(torch.serialization.pickle.dumps(part)) for part in parts]
    merged = merged_tops(travelled)[layer]
    assert all(torch.equal(*fields) for fields in zip(whole, merged, strict=True))
    scores = images.sum(1).amax((1, 2))
    expected = sorted(range(40), key=lambda number: (-float(scores[number]), number))[:9]
    assert merged.image[0].tolist() == expected


def exchange(rank, count):
    assert process() == (rank, 2) and gathered(rank) == [0, 1]
    for parts in (range(count), range(count % 2, count)):
        own = own_parts(parts)
        assert all_results(number * number for number in own) == [number * number for number in parts]
        arrived = list(results_in_first((number, None) for number in own))
        assert arrived == ([] if rank else [(number, None) for number in parts])
    more_in_second = list(results_in_first(range(10 * rank, 10 * rank + 1 + 2 * rank)))
    assert more_in_second == ([] if rank else [0, 10, 11, 12])


def fail(rank):
    shared_passes.SECONDS_TO_BE_ENDED = 0.0  # no launcher ends these processes
    for number in results_in_first(refused_at(3) if rank else range(100)):
        assert number < 6


def refused_at(last):
    yield from range(last)
    raise UserError("image 7 can no longer be read")


def test_results_come_in_the_order_of_the_parts():
    assert process() == (0, 1) and own_parts([5, 6]) == [5, 6] and gathered(3) == [3]
    assert all_results(iter([1, None])) == list(results_in_first(iter([1, None]))) == [1, None]
    for count in (0, 1, 5):
        assert two_processes(exchange, count) == ("done", "done")


def test_a_process_does_not_wait_for_one_that_has_ended():
    first, second = two_processes(fail)
    assert first == "refused: another process of this run has ended; its own output has the reason"
    assert second == "refused: image 7 can no longer be read"


@pytest.mark.parametrize(
    ("devices", "env", "number"),
    [
        (2, {"LOCAL_RANK": "1"}, 1),
        ([0, 2], {"LOCAL_RANK": "1"}, 2),
        ("1,3", {"LOCAL_RANK": "0"}, 1),
        ([3], {}, 3),
        (2, {"SLURM_LOCALID": "1"}, 1),
        ("auto", {"LOCAL_RANK": "0"}, 0),
    ],
)
def test_the_device_of_a_process(monkeypatch, devices, env, number):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    device = own_device(torch.device("cuda"), devices, env)
    assert (device.index or 0) == number and chosen == ([number] if number else [])
    assert own_device(torch.device("cpu"), devices, env) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    if number:
        with pytest.raises(UserError, match=r"trainer.devices=.*: this machine has 1 of trainer.accelerator=cuda"):
            own_device(torch.device("cuda"), devices, env)


NET = """
import os
import signal
import time

from torch import nn

from convscope.errors import UserError


class Failing(nn.Sequential):
    def __init__(self, num_classes):
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(nn.Conv2d(3, 4, 5), nn.ReLU(), pool, nn.Linear(4, num_classes))

    def forward(self, images):
        if os.environ.get("RANK") == "1" and len(images) == 4:
            while not os.path.exists("run/about.json"):  # of the first process
                time.sleep(0.02)
            FAILURE
        return super().forward(images)
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
ENDS = {
    KILLED: "process 1 was ended by the signal Killed\nconvscope: the run on 2 devices ended with status 1",
    'raise UserError("an image can no longer be read")': "convscope: an image can no longer be read\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("failure", ENDS, ids=["killed", "refused"])
def test_a_process_that_fails_ends_the_job_with_one_message(failure, tmp_path, cache):
    """The first process waits for the other one; it writes no incomplete record."""
    (tmp_path / "failing.py").write_text(NET.replace("FAILURE", failure))
    words = ["job=visualize", "trainer.devices=2", "model=python", "model.target=failing:Failing", "data.val=40",
             "data.image_size=64", "data.workers=0", "data.train=80", "trainer.accelerator=cpu", "optim.batch_size=4",
             f"data.cache_dir={cache}", f"hydra.run.dir={tmp_path}/run"]  # fmt: skip
    running = started(words, tmp_path)
    assert running.wait(timeout=240) == 1
    said = (tmp_path / "said").read_text()
    assert ranks(tmp_path / "run") == [] and "Traceback" not in said and "torch.distributed" not in said
    assert said.count(ENDS[failure]) == said.count("convscope: ") == 1
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert not summary["finished"] and not list((tmp_path / "run").rglob("*.safetensors"))
    assert summary.get("problem") == (None if failure == KILLED else "an image can no longer be read")


@pytest.mark.slow
def test_the_command_on_two_devices(trained, folders, tmp_path, cache):
    words = [*WORDS["visualize"], *SMALL, f"data.cache_dir={cache}", f"ckpt={trained}/checkpoints/last.ckpt"]
    run = folders[0].parent / "command" / "visualize"
    ended = convscope(*words, "trainer.devices=2", "trainer.strategy=ddp", f"hydra.run.dir={run}", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    one, two = (contents(place)[0] for place in (folders[0] / "visualize", run))
    settings = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    assert two.keys() - one.keys() == settings
    assert [name for name in one if one[name] != two[name]] == []
    assert ended.stdout.count("The layers, their maps") == ended.stdout.count("look at ") == 1
    assert ended.stdout.count("trainer.strategy=ddp changes nothing") == 1 and "devices=2 changes" not in ended.stdout
