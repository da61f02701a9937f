"""Free memory of this machine by the kernel's numbers, and of control groups by the kernel's files."""

import os

import pytest

from convscope.errors import UserError
from convscope.models.memory import check_memory, control_groups, free_in_control_group, free_memory

MIB = 2**20


def written(place, **files):
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / f"memory.{name}").write_text(f"{text}\n")
    return place


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="this system does not tell what is free")
def test_no_more_is_free_than_the_machine_has():
    assert 0 < free_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_cached_files_count_as_free(tmp_path):
    stat = f"anon {200 * MIB}\nfile {300 * MIB}\nshmem {50 * MIB}\nactive_file {100 * MIB}\ninactive_file {150 * MIB}"
    assert free_in_control_group(written(tmp_path, max=1000 * MIB, current=500 * MIB, stat=stat)) == 750 * MIB


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("0::/\n", ["."]),
        ("12:memory:/docker/a\n0::/system.slice/job_7/step_0\n", ["system.slice/job_7/step_0", "system.slice/job_7",
                                                                    "system.slice", "."]),
        ("4:memory:/a\n", ["."]),
    ],
)  # fmt: skip
def test_a_job_of_a_cluster_is_bound_by_every_group_around_it(text, groups):
    assert [str(group) for group in control_groups(text)] == groups


@pytest.mark.parametrize("files", [{}, {"max": "max", "current": 5, "stat": "anon 5"}, {"max": 10, "stat": "anon 5"}])
def test_a_group_without_bound_or_account_tells_nothing(tmp_path, files):
    assert free_in_control_group(written(tmp_path, **files)) is None


def test_a_group_over_its_bound_has_nothing_left(tmp_path):
    assert free_in_control_group(written(tmp_path, max=10, current=15, stat="active_file 2")) == 0


def test_the_message_has_the_needed_and_the_free_memory():
    check_memory(1, "a thing", "make it smaller")
    with pytest.raises(UserError, match=r"a thing needs 1,048,576 GiB of memory and [\d.,]+ GiB are free; make it sm"):
        check_memory(2**50, "a thing", "make it smaller")
