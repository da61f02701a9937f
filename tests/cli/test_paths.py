"""What can be a path, and at which keys that is checked before any work."""

import pytest

from convscope.analyses import abouts
from convscope.cli.jobs import check_common_paths
from convscope.config import check_path_key, read_config
from convscope.errors import UserError


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (8, r"ckpt=8 is no path; write a name that is a number as ckpt=\./8"),
        ("", "ckpt='' is no path"),
        ({"a": 1}, "ckpt={'a': 1} is no path"),
        (["a.ckpt"], r"ckpt=\['a.ckpt'\] is no path"),
        ("x" * 300, "ckpt=x{100}... cannot be opened: File name too long"),
        ("a/" * 5000, "File name too long"),
        ("a\0b", "ckpt=a\0b cannot be opened: .*null"),
        ("~no_such_user/a", "ckpt=~no_such_user/a cannot be opened: Could not determine home directory"),
    ],
)
def test_what_can_be_no_path_is_refused_with_its_key(path, message):
    with pytest.raises(UserError, match=message):
        check_path_key({"ckpt": path}, "ckpt")


@pytest.mark.parametrize("path", ["there", "not/there", "/dev/null/below", "~/a", "s3://bucket/" + "x" * 300, "a b"])
def test_what_can_be_a_path_passes_whether_it_is_there_or_not(path):
    check_path_key({"data": {"root": path}}, "data.root")


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
