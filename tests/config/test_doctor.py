"""The doctor: each thing that is missing is named with the command that mends it."""

import json
import socket
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import demo
from chat.models import Policy
from config import doctor
from config.floors import Floor
from tests.chat.engines.fake_vllm import serving
from tests.chat.policies import install
from tests.rlhf.runs import fake_ray


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
def test_it_says_which_engine_the_live_policy_answers_by(tiny_policy):
    policy = install(tiny_policy, "answering", is_live=True)
    finding = told(doctor.live_policy)["live policy"]
    assert (finding.level, finding.says) == ("ok", f"{policy.name}, files match its manifest")
    assert told(doctor.live_policy)["engine"].says == "llama.cpp"


@pytest.mark.django_db
def test_a_policy_whose_files_are_gone_is_missing():
    Policy.objects.create(name="gone", version=1, directory="gone", is_live=True)
    assert told(doctor.live_policy)["live policy"].level == "missing"


@pytest.mark.django_db
def test_an_engine_that_is_misspelt_is_named_with_its_variable(settings):
    settings.CHAT_ENGINE = "chat.engines.nobody.Engine"
    found = doctor._engine(Policy(name="wren"))
    assert (found.level, found.fix) == ("missing", "correct CHAMSAE_ENGINE")


@pytest.mark.parametrize("name", ["redis", "broker"])
def test_a_service_that_does_not_answer_is_named_without_its_password(settings, name):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    settings.CELERY_BROKER_URL = "amqp://guest:secret@127.0.0.1:1//"
    finding = told(doctor.services)[name]
    assert finding.level == "missing"
    assert finding.says == "no answer at 127.0.0.1:1"
    assert doctor.VARIABLES[name] in finding.fix


def test_sentinels_are_named_all_of_them_and_one_that_answers_is_enough(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.REDIS_URL = f"sentinel://:secret@127.0.0.1:1,127.0.0.1:{port}/main"
        settings.CELERY_BROKER_URL = f"sentinel://:secret@127.0.0.1:1/0;sentinel://:secret@127.0.0.1:{port}/0"
        found = told(doctor.services)
    for name in ("redis", "broker"):
        assert (found[name].level, found[name].says) == ("ok", f"127.0.0.1:1, 127.0.0.1:{port}")


@pytest.mark.django_db
def test_rollout_servers_that_would_not_sample_are_named(settings, tiny_policy):
    policy = install(tiny_policy, "answering", is_live=True)
    assert told(doctor.rollout_servers) == {}
    with serving(base=policy.directory) as (server,):
        settings.RLHF_ROLLOUT_URLS = [server.url]
        assert told(doctor.rollout_servers)["rollout servers"].level == "ok"
        settings.RLHF_ROLLOUT_URLS = [server.url, "http://127.0.0.1:9/v1"]
        finding = told(doctor.rollout_servers)["rollout servers"]
        assert (finding.level, finding.says) == ("warning", "http://127.0.0.1:9/v1 does not answer")
        server.behave(key="of the servers")
        said = told(doctor.rollout_servers)["rollout servers"].says
        assert f"{server.url} has another key (CHAMSAE_ROLLOUT_KEY)" in said
        server.behave(base="another", key="")
        said = told(doctor.rollout_servers)["rollout servers"].says
    assert f"{server.url} does not have {policy.directory}, only another" in said


@pytest.mark.django_db
def test_rollout_servers_of_a_policy_that_nobody_trains_are_not_looked_at(settings):
    Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    settings.RLHF_ROLLOUT_URLS = ["http://127.0.0.1:9/v1"]
    assert told(doctor.rollout_servers) == {}


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


def test_trainings_of_one_process_need_no_launcher(settings):
    assert not told(doctor.launcher)


def test_several_processes_need_a_file(settings):
    settings.RLHF_LAUNCHER = "accelerate"
    assert told(doctor.launcher)["launcher"].level == "missing"


def test_it_says_which_ray_answers(settings, tmp_path, monkeypatch):
    with fake_ray.serve(tmp_path) as (ray, address):
        settings.RLHF_LAUNCHER, settings.RLHF_RAY_ADDRESS = "ray", address
        finding = told(doctor.launcher)["launcher"]
        assert (finding.level, finding.says) == ("ok", f"Ray 2.60.0 at {address}")
        ray.token = "token"
        assert told(doctor.launcher)["launcher"].level == "missing"
        monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
        assert told(doctor.launcher)["launcher"].level == "ok"
        ray.is_away = True
        assert told(doctor.launcher)["launcher"].level == "missing"
    assert told(doctor.launcher)["launcher"].level == "missing"


@pytest.mark.parametrize(("code", "level"), [(0, "ok"), (1, "missing")])
def test_it_says_what_the_file_of_accelerate_asks_for(settings, monkeypatch, tmp_path, code, level):
    settings.RLHF_LAUNCHER, settings.RLHF_ACCELERATE_CONFIG = "accelerate", str(tmp_path / "accelerate.yaml")
    (tmp_path / "accelerate.yaml").touch()
    told_by_it = '{"processes": 2, "shards_base": false}' if code == 0 else "no such way"
    script = f"print({told_by_it!r}); raise SystemExit({code})"
    monkeypatch.setattr(doctor.launchers, "accelerate_reader", lambda: [sys.executable, "-c", script])
    finding = told(doctor.launcher)["launcher"]
    says = "2 processes (DDP)" if code == 0 else "no such way"
    assert (finding.level, finding.says, bool(finding.fix)) == (level, says, code == 1)
