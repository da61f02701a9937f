"""What can be a path, and at which keys that is checked before any work."""

from importlib import import_module
from typing import get_type_hints

import pytest
from hypothesis import given, strategies
from pydantic import TypeAdapter, ValidationError

from convscope.analyses import abouts
from convscope.cli.jobs import check_common_paths, rebuild_report
from convscope.cli.overrides import hydra_words, keys_of_paths
from convscope.cli.sweeps import CheckFolder, is_sweep
from convscope.config import PathOrUrl, check_path_key, path_keys, read_config
from convscope.errors import UserError
from random_settings import CONF, tried


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (8, r"ckpt=8 is no path; write a name that is a number as ckpt=\./8"),
        ("", "ckpt='' is no path"),
        ({"a": 1}, "ckpt={'a': 1} is no path"),
        (["a.ckpt"], r"ckpt=\['a.ckpt'\] is no path"),
        ("x" * 300, "ckpt=x{100}... cannot be opened: File name too long"),
        ("a/" * 5000, "File name too long"),
        ("a\0b", r"ckpt=a\\x00b cannot be opened: .*null"),
        ("~no_such_user/a", "ckpt=~no_such_user/a cannot be opened: Could not determine home directory"),
        ("s3://bucket/a.ckpt", "ckpt=s3://bucket/a.ckpt is a URL, .* on this disk; download it first, and type where"),
        ("HTTPS://host/a.ckpt", "is a URL, .* download it first"),
        (
            "file:///data/a.ckpt",
            "ckpt=file:///data/a.ckpt is a URL, .* on this disk; type /data/a.ckpt$",
        ),
    ],
)
def test_what_can_be_no_path_is_refused_with_its_key(path, message):
    with pytest.raises(UserError, match=message):
        check_path_key({"ckpt": path}, "ckpt")


@pytest.mark.parametrize("path", ["there", "not/there", "/dev/null/below", "~/a", "s3:/bucket", "a b", "a:b", "C:\\a"])
def test_what_can_be_a_path_passes_whether_it_is_there_or_not(path):
    check_path_key({"data": {"root": path}}, "data.root")


URLS = strategies.builds(
    "{}://{}".format,
    strategies.from_regex(r"[A-Za-z][A-Za-z0-9+.-]{0,7}", fullmatch=True),
    strategies.text(strategies.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20),
)


def every_config_class():
    """All classes of settings in the package."""
    root = CONF.parent / "src"
    files = [path for path in root.rglob("*.py") if "\n@config(" in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in files]
    members = [value for name in names for value in vars(import_module(name)).values()]
    return {member for member in members if isinstance(member, type) and hasattr(member, "config_group")}


CHECKS = {  # of the keys that belong to no analysis
    "ckpt": check_common_paths,
    "model.init": check_common_paths,
    "model.weights": check_common_paths,
    "data.root": check_common_paths,
    "data.cache_dir": check_common_paths,
    "run": lambda settings: rebuild_report(settings, None),
    "sweep": lambda settings: rebuild_report(settings, None),
    "resume": lambda settings: hydra_words([f"resume={settings['resume']}"], CONF, is_sweep),
    "hydra.run.dir": CheckFolder().on_run_start,
    "hydra.sweep.dir": CheckFolder().on_multirun_start,
}


def settings_with(key, value, source):
    settings = {"job": "train", "run": None, "sweep": None, "data": {"source": source}, "model": {}}
    *parents, last = key.split(".")
    holder = settings
    for parent in parents:
        holder = holder.setdefault(parent, {})
    holder[last] = value
    return settings


@tried(20)
@given(URLS)
def test_no_key_takes_a_url_but_the_root_of_a_stream(url):
    for key, check in CHECKS.items():
        with pytest.raises((UserError, SystemExit), match=f"{key}=.* is a URL, and here stands a path on this disk"):
            check(settings_with(key, url, "folder"))
    check_common_paths(settings_with("data.root", url, "stream"))


def test_the_command_line_and_the_classes_of_settings_agree_on_what_is_a_path():
    keys, hints = set(CHECKS), []  # hints: those with a validator of paths
    for kind in every_config_class():
        keys |= set(path_keys(kind))
        hints += [hint for hint in get_type_hints(kind, include_extras=True).values() if "check_" in str(hint)]
    assert keys == set(keys_of_paths())
    for hint in hints:
        if hint != PathOrUrl | None:  # data.root, for data=stream alone
            for url in ["s3://bucket/x", ["s3://bucket/x"]]:
                with pytest.raises(ValidationError):
                    TypeAdapter(hint).validate_python(url)


def test_a_list_of_checkpoints_is_for_the_job_that_takes_several():
    check_common_paths({"job": "evaluate", "ckpt": ["a", None]})
    for settings in ({"job": "occlude", "ckpt": ["a"]}, {"job": "evaluate", "ckpt": ["a", 3]}):
        with pytest.raises(UserError, match="is no path"):
            check_common_paths(settings)


@pytest.mark.parametrize(
    ("analysis", "settings", "message"),
    [
        ("sweep_table", {"table": {}, "sweep": [None]}, "sweep=None is no path|sweep=.* is no path"),
        ("transfer", {"transfer": {"beside": [[]]}}, "transfer.beside=.* is no path"),
        ("occlusion", {"occlude": {"boxes": 3}}, r"occlude.boxes=3 is no path; write .* as occlude.boxes=\./3"),
        ("claims", {"claims": {"against": ["a", "x" * 300]}, "run": "a"}, "claims.against=.* cannot be opened"),
    ],
)
def test_paths_among_the_settings_of_a_job_are_checked(analysis, settings, message):
    with pytest.raises(UserError, match=message):
        read_config(abouts()[analysis].config, settings)


def test_a_job_without_images_does_not_check_their_place():
    check_common_paths({"job": "table", "data": {"cache_dir": 3}}, images=False)
    with pytest.raises(UserError, match="data.cache_dir=3 is no path"):
        check_common_paths({"job": "occlude", "data": {"cache_dir": 3}})
