"""Every job on a GPU without float64 (tests/pretended.py): done, and to the numbers that the CPU gives."""

import json
import math

import pytest

from conftest import convscope

LOOKS = {
    "visualize": ["rule=all", "evolution.maps=1", "evolution.layers=[conv1,conv5,fc6]"],
    "occlude": ["occlude.images=1", "occlude.size=24", "occlude.stride=20", "occlude.searched=20", "occlude.scored=2"],
    "invariance": ["invariance.images=1", "invariance.scored=1", "invariance.layers=[conv1]"],
    "correspond": ["correspond.images=3", "correspond.random=2", "correspond.layers=[conv5]"],
    "diagnose": ["diagnose.images=10", "diagnose.maps=2"],
    "neighbors": ["neighbors.images=2", "neighbors.nearest=2", "neighbors.scored=5"],
    "transfer": ["transfer.layers=[conv5]", "transfer.per_class=[2]", "transfer.test_per_class=2", "transfer.folds=2",
                 "transfer.c=[1]", "transfer.beside=[random]"],
    "evaluate": ["evaluate.crops=dense", "evaluate.images=4", "evaluate.scales=[74]"],
    "claims": ["claims.scored=2"],
    "overlap": ["overlap.size=8", "overlap.copies=4", "overlap.shown=2"],
}  # fmt: skip


def looked(job, trained, cache, folder, **how):
    of = {"claims": [f"run={trained}"], "overlap": ["data.train=20", "data.val=10", "data.image_size=64"]}
    words = [*of.get(job, [f"ckpt={trained}/checkpoints/last.ckpt"]), *LOOKS[job], f"data.cache_dir={cache}"]
    ended = convscope(f"job={job}", "trainer.accelerator=cpu", *words, f"hydra.run.dir={folder}", cwd=folder.parent, **how)
    assert ended.returncode == 0, ended.stdout[-300:] + ended.stderr[-3000:]
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("job", LOOKS)
def test_a_job_finds_there_what_it_finds_on_the_cpu(job, trained, cache, tmp_path):
    gpu = looked(job, trained, cache, tmp_path / "gpu", by="pretended.py")
    cpu = looked(job, trained, cache, tmp_path / "cpu")
    assert gpu["finished"] and gpu.get("numbers", {}).keys() == cpu.get("numbers", {}).keys()
    for name, value in cpu.get("numbers", {}).items():
        there = gpu["numbers"][name]
        assert there == value or math.isclose(there, value, rel_tol=1e-3, abs_tol=1e-3), name


def test_training(cache, tmp_path):
    words = ["data.train=12", "data.val=6", "data.image_size=64", "model.width=0.05", "optim.batch_size=6",
             "trainer.max_epochs=1", "evolution.maps=1", "optim=paper", f"data.cache_dir={cache}"]  # fmt: skip
    for by in (None, "pretended.py"):
        ended = convscope(*words, "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path}/{by}", cwd=tmp_path, by=by)
        assert ended.returncode == 0, ended.stdout[-300:] + ended.stderr[-3000:]
    final = [json.loads((tmp_path / f"{by}/summary.json").read_text())["final"] for by in (None, "pretended.py")]
    assert math.isclose(final[0]["val/loss"], final[1]["val/loss"], rel_tol=1e-4)
