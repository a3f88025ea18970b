"""Tidying a host: what fails in one part stops no other, and is told."""

import pytest
from django.core.management import CommandError, call_command

from base import host_tidying
from base.host_lock import only_one
from tests.base.shared_hosts import on_host

pytestmark = pytest.mark.django_db
done = []


def breaks():
    raise OSError("the storage is away")


def works():
    done.append("works")


@pytest.fixture(autouse=True)
def _parts(settings, tmp_path):
    done.clear()
    settings.HOST_TIDYING = [f"{__name__}.breaks", f"{__name__}.works"]
    with on_host(tmp_path, {}):
        yield


def test_a_part_that_fails_stops_no_other():
    assert host_tidying.tidy() == {f"{__name__}.breaks": "the storage is away"}
    assert done == ["works"]


def test_a_connection_that_broke_in_one_part_is_not_used_by_the_next(monkeypatch):
    monkeypatch.setattr(host_tidying, "close_old_connections", lambda: done.append("broken ones are closed"))
    host_tidying.tidy()
    assert done == ["broken ones are closed", "works"]


def test_the_command_tells_what_failed():
    with pytest.raises(CommandError, match=r"breaks: the storage is away") as caught:
        call_command("tidy_host")
    assert caught.value.returncode == 1
    assert done == ["works"]


def test_one_process_of_a_host_tidies():
    with only_one("tidying"):
        assert host_tidying.tidy() == {}
    assert done == []
