import json

import pytest

from convscope.report import header
from convscope.report.page import write_page
from convscope.runs.reading import read_run


def run_with(folder, config, job="occlude", overrides="[]"):
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text(f"job: {job}\n{config}\n")
    (folder / ".hydra" / "overrides.yaml").write_text(overrides)
    return read_run(folder)


def test_the_head_names_the_checkpoint_and_no_ones_home(looked_run):
    run = read_run(looked_run)
    assert header.analyzed_net(run).checkpoint == "2025-03-04_15-16-17-000000_owls/checkpoints/last.ckpt"
    assert header.title(run) == "owls"
    assert header.subtitle(run) == ["occlusion", "zfnet", "5 April 2025, 06:07"]


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("outputs/train/one/checkpoints/best.ckpt", "one/checkpoints/best.ckpt"),
        ("one/checkpoints/best.ckpt", "one/checkpoints/best.ckpt"),
        ("/home/someone/one/checkpoints/best.ckpt", "one/checkpoints/best.ckpt"),
        ("/home/someone/checkpoints/best.ckpt", "best.ckpt"),
        ("/Users/someone/checkpoints/best.ckpt", "best.ckpt"),
        ("/root/checkpoints/best.ckpt", "best.ckpt"),
        ("/home/someone/nets/best.ckpt", "best.ckpt"),
        ("C:\\\\Users\\\\someone\\\\best.ckpt", "best.ckpt"),
        ("best.ckpt", "best.ckpt"),
    ],
)
def test_only_the_last_parts_of_a_path_are_shown(tmp_path, path, public):
    assert header.analyzed_net(run_with(tmp_path, f'ckpt: "{path}"')).checkpoint == public


def test_a_net_without_a_checkpoint_says_whether_it_was_trained(tmp_path):
    fresh = run_with(tmp_path, "model: {name: resnet18, weights: null}")
    assert header.analyzed_net(fresh).net == "resnet18 (untrained: random weights)"
    pretrained = run_with(tmp_path, "model: {name: vgg16, weights: IMAGENET1K_V1}")
    assert header.analyzed_net(pretrained).net == "vgg16 (weights IMAGENET1K_V1)"
    assert header.title(pretrained) == "vgg16"


def test_a_name_that_was_given_is_the_title(tmp_path):
    run = run_with(tmp_path, "ckpt: one/checkpoints/last.ckpt\nname: mine", overrides="- name=mine\n")
    assert header.title(run) == "mine"


def test_two_matched_nets_are_both_named(tmp_path):
    nets = [{"name": "owls last", "run": "../owls"}, {"name": "random weights", "run": None}]
    (tmp_path / "summary.json").write_text(json.dumps({"job": "match", "name": "mine", "matched": nets}))
    run = run_with(tmp_path, "ckpt: [a.ckpt, b.ckpt]\nname: zfnet", "match")
    assert header.title(run) == header.analyzed_net(run).net == "owls last and random weights"
    assert header.title(run_with(tmp_path, "name: mine", "match", "- name=mine\n")) == "mine"
    for damaged in ("no list", [1, {"run": 3}], [], None):
        (tmp_path / "summary.json").write_text(json.dumps({"job": "match", "matched": damaged}))
        assert header.analyzed_net(run_with(tmp_path, "ckpt: [a.ckpt, b.ckpt]", "match")).net == "2 nets"


def test_the_title_is_the_name_of_the_run_that_trained_the_net(tmp_path):
    for path, title in [
        ("train/2025-03-04_15-16-17-000000_photographs_paper/checkpoints/last.ckpt", "photographs_paper"),
        ("train/my_own_net/checkpoints/last.ckpt", "my_own_net"),
        ("/nets/one_of_them.ckpt", "one_of_them.ckpt"),
    ]:
        assert header.title(run_with(tmp_path, f"ckpt: {path}")) == title


def test_a_sweep_that_was_compared_is_no_untrained_net(tmp_path):
    config = "ckpt: null\nmodel: {name: zfnet}\ndiagnose: {runs: /home/someone/sweep/2025-03-04_15-16-17-000000_train}"
    analyzed = header.analyzed_net(run_with(tmp_path, config, job="diagnose"))
    assert (analyzed.net, analyzed.checkpoint) == ("the runs", "2025-03-04_15-16-17-000000_train")


@pytest.mark.parametrize(("job", "facts"), [("diagnose", {"runs": "a/b"}), ("table", {"sweep": ["x/b", "x/c"]})])
def test_the_comparison_at_the_end_of_a_sweep_has_no_config_and_no_untrained_net(tmp_path, job, facts):
    (tmp_path / "summary.json").write_text(json.dumps({"job": job, "name": "comparison", **facts}))
    analyzed = header.analyzed_net(read_run(tmp_path))
    assert (analyzed.net, analyzed.checkpoint) == ("the runs", "b" if job == "diagnose" else "b and c")


def test_a_page_without_a_config_does_not_say_how_its_net_was_trained(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"job": "occlude", "net": {"name": "mine"}}))
    assert header.analyzed_net(read_run(tmp_path)).net == "mine"
    pretrained = run_with(tmp_path, "model: {name: mine, weights: /home/someone/mine.pth}")
    assert header.analyzed_net(pretrained).net == "mine (weights mine.pth)"


def test_other_jobs_have_no_analyzed_net(finished_run, tmp_path):
    assert header.analyzed_net(read_run(finished_run)) is None
    assert header.analyzed_net(run_with(tmp_path, "", job="unheard")) is None


def test_a_problem_that_ended_the_job_is_told(looked_run):
    folder = looked_run
    summary = json.loads((folder / "summary.json").read_text()) | {
        "finished": False,
        "problem": "no layer conv9 <here>",
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    text = write_page(folder).read_text()
    assert text.count("no layer conv9 &lt;here&gt;") == 1
    assert "not finished" in text
