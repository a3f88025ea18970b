"""The doctor: each thing that is missing is named with the command that mends it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import demo
from chat.models import Policy
from config import doctor
from config.floors import Floor


def told(check):
    return {finding.name: finding for finding in check()}


@pytest.mark.parametrize(
    ("version", "has_race"),
    [
        ((3, 46, 1), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 44, 6), False),
        ((3, 45, 9), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_which_sqlite_has_the_wal_race(version, has_race):
    assert doctor.has_wal_race(version) is has_race


def test_a_package_below_its_floor_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "floors", lambda group: [Floor("pytest", "999"), Floor("no-such-package", "1")])
    finding = told(doctor.packages)["packages (run)"]
    assert finding.level == "missing"
    assert "needs >= 999" in finding.says
    assert "no-such-package not installed (needs >= 1)" in finding.says
    assert "pip install" in finding.fix


@pytest.mark.django_db
def test_without_a_live_policy_it_says_how_to_get_one():
    finding = told(doctor.live_policy)["live policy"]
    assert (finding.level, finding.fix) == ("missing", "manage.py fetch_model")


@pytest.mark.django_db
def test_a_policy_whose_files_are_gone_is_missing():
    Policy.objects.create(name="gone", version=1, directory="gone", is_live=True)
    assert told(doctor.live_policy)["live policy"].level == "missing"


@pytest.mark.parametrize("name", ["redis", "broker"])
def test_a_service_that_does_not_answer_is_named_without_its_password(settings, name):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    settings.CELERY_BROKER_URL = "amqp://guest:secret@127.0.0.1:1//"
    finding = told(doctor.services)[name]
    assert finding.level == "missing"
    assert finding.says == "no answer at 127.0.0.1:1"
    assert doctor.VARIABLES[name] in finding.fix


@pytest.mark.django_db
def test_demo_accounts_on_a_site_that_is_no_demo_are_a_warning(settings):
    settings.DEMO = True
    demo.create_accounts()
    assert told(doctor.demo_accounts) == {}
    settings.DEMO = False
    assert told(doctor.demo_accounts)["demo accounts"].level == "warning"


@pytest.mark.django_db
def test_json_is_one_object_and_something_missing_ends_with_code_1(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", (doctor.python, doctor.live_policy))
    said = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("doctor", "--json", stdout=said)
    assert error.value.returncode == 1
    report = json.loads(said.getvalue())
    assert report["ok"] is False
    assert report["missing"] == ["live policy"]
    assert {"name", "level", "says", "fix"} == set(report["findings"][0])
