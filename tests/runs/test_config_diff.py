import pytest
import yaml

from convscope.errors import UserError
from convscope.runs.config_diff import differ_only_in, differing_keys, flattened
from convscope.runs.training_runs import find_training_runs

ONE = {"job": "train", "seed": 0, "name": "a", "optim": {"lr": 0.1, "renorm": 0.1}, "model": {"layers": {"conv1": {}}}}


def changed(**values):
    return ONE | values


def test_nested_keys_become_dotted_ones():
    assert flattened({"a": {"b": {"c": 1}, "d": None}, "e": [1]}) == {"a.b.c": 1, "a.d": None, "e": [1]}
    assert flattened({"a": {}}) == {"a": {}}


@pytest.mark.parametrize(
    ("other", "keys"),
    [
        (ONE, set()),
        (changed(seed=1), {"seed"}),
        (changed(optim={"lr": 0.1, "renorm": None}), {"optim.renorm"}),
        (changed(optim={"lr": 0.1, "renorm": 0.1, "momentum": 0.9}), {"optim.momentum"}),  # absent in the other one
        (changed(optim={"lr": 0.1, "renorm": 0.1, "momentum": None}), set()),  # as good as absent
    ],
)
def test_differing_keys_of_either_side(other, keys):
    assert differing_keys(ONE, other) == keys == differing_keys(other, ONE)


def test_alike_but_for_some_keys_and_for_what_is_no_part_of_a_result():
    free = changed(optim={"lr": 0.1, "renorm": None})
    assert differ_only_in(ONE, free, ["optim.renorm"]) and not differ_only_in(ONE, free, [])
    assert differ_only_in(ONE, changed(name="b", seed=7, logger={"x": 1}), [])
    assert not differ_only_in(ONE, changed(optim={"lr": 0.2, "renorm": None}), ["optim.renorm"])
    wider = changed(model={"layers": {"conv1": {"stride": 4}}})
    assert differ_only_in(ONE, wider, ["model.layers.*"]) and not differ_only_in(ONE, wider, ["model.layers.*.kernel"])


def made(folder, job="train"):
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(yaml.safe_dump({"job": job}))
    return folder


def test_a_sweeps_folder_stands_for_its_training_runs(tmp_path):
    made(tmp_path / "sweep/0_a"), made(tmp_path / "sweep/1_b"), made(tmp_path / "sweep/2_c", job="report")
    (tmp_path / "sweep/.submitit").mkdir()
    single = made(tmp_path / "single")
    found = find_training_runs([tmp_path / "sweep", single])
    assert [run.folder.name for run in found] == ["0_a", "1_b", "single"]


def test_a_folder_without_runs_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=f"no training run in {folder}; give the folder of a run"):
            find_training_runs([folder])
