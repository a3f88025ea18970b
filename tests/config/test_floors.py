"""No package below its lowest safe version, neither asked for nor installed."""

import pytest

from config.floors import Floor, floors, numbers, project

SAFE = {
    "django": "5.2",  # the long-term release that Python 3.11 has
    "uvicorn": "0.54",  # keeps no more than one unread message of a socket
    "celery": "5.7",  # a worker that is deaf after Redis was restarted
    "torch": "2.10",  # CVE-2026-24747: weights_only bypassed
    "transformers": "5.20",  # sanitize_control_tokens; CVE-2026-5241 up to 5.2
    "channels": "4.3.2",
    "nh3": "0.3.7",
    "jinja2": "3.1.6",  # sandbox escapes before it
}

ON_DEMAND = {"docs"}
"""Installed by the one make target that needs them."""


def every():
    return {floor.name: floor for group in project() for floor in floors(group)}


@pytest.mark.parametrize("name", SAFE)
def test_the_lowest_version_asked_for_is_safe(name):
    assert numbers(every()[name].lowest) >= numbers(SAFE[name])


@pytest.mark.parametrize("group", [group for group in project() if group not in ON_DEMAND])
def test_what_is_installed_is_what_was_asked_for(group):
    assert [f"{floor.name} {floor.installed} < {floor.lowest}" for floor in floors(group) if not floor.is_met] == []


@pytest.mark.parametrize(
    ("version", "wanted"), [("5.20.0", (5, 20, 0)), ("2.13.0+cpu", (2, 13, 0)), ("5.7.0rc1", (5, 7, 0)), ("", ())]
)
def test_versions_are_read_as_numbers(version, wanted):
    assert numbers(version) == wanted


def test_an_absent_package_meets_no_floor():
    assert not Floor("no-such-package-anywhere", "0").is_met
