"""The loggers of a Trainer that convscope knows nothing of, in two processes: real offline runs, read back."""

import pytest
import torch
from safetensors.torch import load_file

import convscope
from conftest import ROOT, python
from convscope.loggers.trainer_loggers import picture_loggers
from convscope.runs.record import Picture
from loggers.test_loggers import history
from training.foreign import photos, small_net, write_photos

EPOCHS, LAYERS = [1, 2], ("0", "5")


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The folder of a Trainer with two processes and three loggers, whose net does not change."""
    place = tmp_path_factory.mktemp("logged")
    root = write_photos(place / "photos")
    ended = python(
        ROOT / "tests/training/foreign.py", "pytorch_lightning", root, place / "run", "ddp", "loggers", cwd=place,
        PYTHONPATH=f"{ROOT / 'src'}", WANDB_MODE="offline", WANDB_API_KEY="", HOME=str(place),
        MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet", WANDB_ERROR_REPORTING="false",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place


@pytest.mark.slow
def test_two_processes_give_the_record_of_one(logged):
    """That of a full sort; of 27 images Lightning gives one to both processes."""
    images = torch.stack([image for image, _ in photos(logged / "photos", "val")])
    with torch.no_grad():
        score, image = small_net()[0](images).amax((2, 3)).T.sort(dim=1, descending=True)
    for epoch in EPOCHS:
        got = load_file(logged / "run" / "top9" / f"epoch_{epoch:03d}.safetensors")
        torch.testing.assert_close(got["0.score"], score[:, :9])
        assert torch.equal(got["0.image"], image[:, :9])
    metrics = convscope.read_run(logged / "run").metrics
    assert metrics["stayed/0"] == [0, 1] and metrics["similarity/5"] == [0, 1]


@pytest.mark.slow
def test_wandb_has_a_grid_for_each_layer_and_epoch_with_the_epoch_as_its_axis(logged):
    rows = list(history(logged))
    (files,) = logged.glob("wandb/offline-run-*/files")
    for layer in LAYERS:
        grids = [row for row in rows if f"top9/{layer}" in row]
        assert [row["epoch"] for row in grids] == EPOCHS
        for row in grids:
            picture = row[f"top9/{layer}"]
            assert (files / picture["path"]).stat().st_size == picture["size"]
            assert f"epoch {row['epoch']}" in picture["caption"]
        assert sum(f"evolution/{layer}" in row for row in rows) == 1
    assert [{f"top9/{layer}" for layer in LAYERS} <= row.keys() for row in rows if "top9/0" in row] == [True, True]
    numbers = [row for row in rows if "stayed/0" in row or "stayed" in row]
    assert len(numbers) == 2 and all("val_acc" in row for row in numbers)  # beside the Trainer's own numbers


@pytest.mark.slow
def test_tensorboard_has_them_too(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logged / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()
    for layer in LAYERS:
        assert [event.step for event in events.Images(f"top9/{layer}")] == EPOCHS
        assert [event.step for event in events.Images(f"evolution/{layer}")] == EPOCHS[-1:]
        assert {event.encoded_image_string[:2] for event in events.Images(f"top9/{layer}")} == {b"\xff\xd8"}  # jpeg
    assert len(events.Scalars("dead/0")) == 2


@pytest.mark.slow
def test_mlflow_has_them_too(logged):
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{logged}/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    names = [path.name for path in logged.rglob("*.png") if "images" in path.parts]
    for layer in LAYERS:
        steps = {name.split("+")[2] for name in names if name.startswith(f"top9~{layer}+step+")}
        assert steps == {"1", "2"}, names
    assert run.data.metrics["dead/5"] == pytest.approx(client.get_metric_history(run.info.run_id, "dead/5")[-1].value)


class WandbLogger:
    """A logger of this name whose server is gone."""

    @property
    def experiment(self):
        raise ConnectionError("no server")


def test_a_logger_that_fails_is_one_warning_and_ends_nothing(tmp_path):
    warned = []
    (logger,) = picture_loggers([WandbLogger(), object()], warned.append)
    for epoch in EPOCHS:
        logger.picture(Picture("top9/0", None, epoch=epoch), tmp_path / "grid.jpg")
    assert len(warned) == 1 and "WandbLogger has failed (no server)" in warned[0]
