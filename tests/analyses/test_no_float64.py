"""Every job on a GPU without float64 (tests/pretended.py): done, and to the numbers that the CPU gives.

No step of training waits for the GPU.
"""

import json
import math

import pytest

from conftest import ROOT, prepared
from convscope.analyses import abouts
from convscope.cli.jobs import JOBS
from random_settings import composed

DRAWN = ["data.train=20", "data.val=10", "data.image_size=64", "data.workers=0"]
LOOKS = {
    "train": [*DRAWN, "model.width=0.05", "optim.batch_size=10", "trainer.max_epochs=1", "evolution.maps=1",
              "evolution.layers=[conv1,fc6]", "optim=paper"],
    **{about.job: [*about.tiny, *([] if about.looks else DRAWN)] for about in abouts().values() if about.images},
}  # fmt: skip
for short in ("sanity", "match", "dissect", "receptive", "invariance"):  # one layer computes as another
    LOOKS[short] = [word.replace(".layers=[conv1,", ".layers=[") for word in LOOKS[short]]
COMPARED = ("train", "correspond", "neighbors", "evaluate")  # the others' numbers come from the same functions


def settings(job, trained, cache):
    of = {"claims": [f"run={trained}"], "overlap": [], "check_data": [], "train": []}.get(
        job, [f"ckpt={trained}/checkpoints/last.ckpt"]
    )
    words = [*of, *LOOKS[job], f"data.cache_dir={cache}", "trainer.accelerator=cpu"]
    return {**composed([f"job={job}", *words]), "words": words}


@pytest.fixture(scope="module")
def on_gpu(trained, cache, tmp_path_factory):
    """The folder with the runs of all jobs, done by one process."""
    place = tmp_path_factory.mktemp("gpu")
    jobs = [{"settings": settings(job, trained, cache), "folder": f"{place}/{job}"} for job in LOOKS]
    (place / "jobs").write_text("\n".join(map(json.dumps, jobs)))
    env = {"OMP_NUM_THREADS": "1", "PATH": "", "HOME": str(place)}
    prepared().start([str(ROOT / "tests/pretended.py"), str(place / "jobs")], place, env)
    return place


@pytest.mark.parametrize("job", LOOKS)
def test_a_job_is_done_on_a_gpu_without_float64(job, on_gpu, trained, cache, tmp_path):
    failed = on_gpu / f"{job}.txt"
    assert not failed.exists(), failed.read_text()
    there = json.loads((on_gpu / job / "summary.json").read_text())
    assert there["finished"]
    assert not (waits := (on_gpu / f"{job}.waits").read_text()), f"training steps wait for the GPU:\n{waits}"
    if job not in COMPARED:
        return
    JOBS[job](settings(job, trained, cache), tmp_path / job)
    here = json.loads((tmp_path / job / "summary.json").read_text())
    one, other = (each["final"] if job == "train" else each["numbers"] for each in (here, there))
    assert one.keys() == other.keys() and len(one) > 2
    for name in one.keys() - {"seconds", "images_per_second"}:
        assert one[name] == other[name] or math.isclose(one[name], other[name], rel_tol=1e-3, abs_tol=1e-3), name
