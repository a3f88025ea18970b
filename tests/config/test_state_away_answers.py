"""What pages and the API answer while files of the state that hosts share cannot be had."""

import pytest
from django.core.cache import cache

from accounts.roles import Role
from base.state_errors import StateAway, StateDamaged, StateMissing
from chat import policies
from chat.errors import PolicyAway
from chat.models import Policy
from fine_tuning.data import uploads
from tests.base.shared_hosts import AWAY, in_a_folder, on_host
from tests.fine_tuning.program import Api
from tests.people import make_person

pytestmark = pytest.mark.django_db
ERRORS = [
    StateAway("Could not connect to http://minio:9000"),
    StateMissing("models/wren"),
    StateDamaged("models/wren", "config.json"),
    PolicyAway("Could not connect to http://minio:9000"),
]


@pytest.fixture
def admin(client):
    client.force_login(make_person("root", Role.ADMIN))
    Policy.objects.create(name="wren", version=1, directory="wren")
    return client


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_page_says_in_both_languages_that_its_files_cannot_be_had(admin, monkeypatch, error):
    def fail(policy):
        raise error

    monkeypatch.setattr(policies, "served", fail)
    for language, title in (("en", "cannot be had at the moment"), ("ko", "가져올 수 없습니다")):
        response = admin.get("/training/policies/wren/", headers={"Accept-Language": language})
        assert (response.status_code, response["Retry-After"]) == (503, "30")
        assert title in response.content.decode()
        assert "minio" not in response.content.decode()


def test_other_failures_stay_failures(admin, monkeypatch):
    def fail(policy):
        raise OSError("disk")

    monkeypatch.setattr(policies, "served", fail)
    with pytest.raises(OSError, match="disk"):
        admin.get("/training/policies/wren/")


def test_the_api_answers_in_its_own_form(tmp_path):
    cache.clear()
    person = make_person("mina")
    with on_host(tmp_path / "a", in_a_folder(tmp_path / "bucket")):
        file = uploads.store(person, "lines.jsonl", [b'{"prompt": "a", "completion": "b"}\n'])
    with on_host(tmp_path / "b", AWAY):
        response = Api(person).get(f"files/{file.pk}/content")
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    told = response.json()["error"]
    assert (told["type"], told["code"]) == ("server_error", "state_away")
    assert "Try again in a minute" in told["message"]
    assert "no route" not in told["message"]
