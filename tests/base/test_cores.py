"""The cores that a process may use, by its affinity and by the quotas of its cgroup and those above it."""

import subprocess
import sys

import pytest

from base import cores


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """Makes the cgroup `site/web`, with quotas in cores of both and of the topmost."""
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)))

    def make(web, site, top):
        (tmp_path / "own").write_text("9:name=systemd:/\n1:cpu:/elsewhere\n0::/site/web\n")
        (tmp_path / "cgroup/site/web").mkdir(parents=True)
        for folder, quota in (("site/web", web), ("site", site), (".", top)):
            if quota is not None:
                (tmp_path / "cgroup" / folder / "cpu.max").write_text(f"{quota} 100000\n")

    return make


@pytest.mark.parametrize(
    ("quotas", "usable"),
    [
        ((None, None, None), 8),
        (("max", "max", None), 8),
        ((300_000, "max", None), 3),
        (("max", 200_000, None), 2),
        (("max", None, 500_000), 5),
        ((600_000, 400_000, 700_000), 4),
        ((250_000, "max", None), 2),
        ((50_000, "max", None), 1),
        ((1_600_000, "max", None), 8),
    ],
)
def test_the_smallest_quota_counts_in_whole_cores(cgroup, quotas, usable):
    cgroup(*quotas)
    assert cores.usable_cores() == usable


def test_without_cgroups_the_affinity_counts(cgroup):
    assert cores.usable_cores() == 8


def test_a_process_bound_to_one_core_has_one():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "from base.cores import usable_cores; print(usable_cores())"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "1\n"
