"""data=stream data.root=s3://... against a stand-in for S3 on this machine: moto's server, spoken to by HTTP."""

import logging
import socket
import time

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import folder
from convscope.data.stream.conversion import Conversion, converted
from convscope.data.stream.source import stream
from convscope.errors import UserError
from data.short_training import Small, fit

moto = pytest.importorskip("moto.server", reason="moto is not installed: no stand-in for S3")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'convscope[stream]'")
S = 32
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def converted_set(tmp_path_factory):
    """A converted set of 48 + 12 images, four to a chunk."""
    root, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 6)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                coarse = Image.fromarray(draw.integers(0, 256, (5, 6, 3), np.uint8))
                coarse.resize((40, 50)).save(root / split / name / f"{number}.png")
    place = tmp_path_factory.mktemp("made") / "set"
    list(converted(folder(root), Conversion(str(place), chunk=4), S, 0, "stop"))
    return place


@pytest.fixture(scope="module")
def server(converted_set):
    """The set in the bucket `photographs` of a server on loopback, under some/set."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    store = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    store.create_bucket(Bucket="photographs")
    for path in converted_set.rglob("*"):
        if path.is_file():
            store.upload_file(str(path), "photographs", f"some/set/{path.relative_to(converted_set)}")
    yield url
    running.stop()


@pytest.fixture(autouse=True)
def environment(server, monkeypatch, tmp_path):
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(key, value)
    for key in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(key, str(tmp_path / "none"))


def opened(place, tmp_path, name="cache", **changed):
    source = stream(str(place), S, tmp_path / name, 1.0)
    settings = {"image_size": S, "batch_size": 8, "workers": 0, "seed": 5, "cache_dir": str(tmp_path / name)}
    return ImageData(source, DataSettings(**{**settings, **changed}))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])  # processes that load make clients of their own
@pytest.mark.parametrize("start_method", ["fork"], indirect=True)  # a forkserver has the environment of its own start
def test_the_images_are_those_of_the_folder(workers, start_method, converted_set, tmp_path):
    far, near = opened("s3://photographs/some/set/", tmp_path, workers=workers), opened(converted_set, tmp_path)
    for batch, expected in zip(far.train_dataloader(), near.train_dataloader(), strict=True):
        assert torch.equal(batch.index, expected.index) and torch.equal(batch.image, expected.image)
    [cache_folder] = (tmp_path / "cache").glob("stream-*")
    assert len(list((cache_folder / "train").glob("chunk-*.bin"))) == 12
    assert not list((cache_folder / "val").glob("chunk-*.bin"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    """From the middle of the second epoch, on a machine that has nothing of the set yet."""

    def run(name, resume=None):
        data = opened("s3://photographs/some/set", tmp_path, name)
        return fit(Small(S), data, tmp_path / name, {"every_n_train_steps": 9}, resume, limit_val_batches=0)

    whole = run("whole")
    rest = run("rest", tmp_path / "whole/9.ckpt")
    assert rest.fed == whole.fed_from(9) and len(whole.fed) == 18 == 9 + len(rest.fed)
    assert all(value.equal(whole.state_dict()[key]) for key, value in rest.state_dict().items())


def told(url, tmp_path):
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        stream(url, S, tmp_path / "cache", 1.0)
    assert time.monotonic() - start < 20 and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_not_there_is_told_at_once(tmp_path):
    message = told("s3://nowhere/some/set", tmp_path)
    assert (
        message.startswith("data.root=s3://nowhere/some/set: set.json cannot be fetched: ")
        and "NoSuchBucket" in message
    )
    assert "NoSuchKey" in told("s3://photographs/other", tmp_path)


def test_without_a_key_or_a_server(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    message = told("s3://photographs/some/set", tmp_path)
    assert "Could not connect to the endpoint URL" in message and "AWS_ENDPOINT_URL" in message
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert told("s3://photographs/some/set", tmp_path).endswith("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
