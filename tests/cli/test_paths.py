"""What can be a path, and which settings are asked."""

import pytest

from convscope.cli.paths import check_path, paths_checked
from convscope.errors import UserError


@pytest.mark.parametrize(
    ("named", "said"),
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
def test_what_can_be_no_path_is_told_with_its_key(named, said):
    with pytest.raises(UserError, match=said):
        check_path("ckpt", named)


@pytest.mark.parametrize("named", ["there", "not/there", "/dev/null/below", "~/a", "s3://bucket/" + "x" * 300, "a b"])
def test_what_can_be_one_passes_whether_it_is_there_or_not(named):
    check_path("data.root", named)


def asked(**settings):
    """Whether a job is begun with these settings."""
    begun = []
    paths_checked(lambda *_: begun.append(True))(settings, None)
    return bool(begun)


def test_each_of_a_list_is_asked_where_a_list_may_stand():
    assert asked(job="evaluate", ckpt=["a", None]) and asked(job="table", sweep=["a", "b"]) and asked(job="train")
    for settings in ({"job": "occlude", "ckpt": ["a"]}, {"job": "evaluate", "ckpt": ["a", 3]},
                     {"job": "table", "sweep": [None]}, {"job": "transfer", "transfer": {"beside": [[]]}}):  # fmt: skip
        with pytest.raises(UserError, match="is no path"):
            asked(**settings)


def test_a_job_without_images_does_not_ask_for_their_place():
    assert asked(job="report", data={"cache_dir": 3}, run="a")
    with pytest.raises(UserError, match="data.cache_dir=3 is no path"):
        asked(job="train", data={"cache_dir": 3})
