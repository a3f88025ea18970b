"""What an admin chooses for the whole site."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import AuditEntry, User
from chat import site_choices
from chat.models import Conversation, ModelServer, Policy, SiteChoices
from tests.consenting import agree

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    return User.objects.create_superuser("admin", password="not the demo one")


def test_reading_choices_that_nobody_made_writes_nothing():
    assert site_choices.get().side_by_side_percent == 0
    assert not SiteChoices.objects.exists()


def test_a_change_is_read_back_and_has_its_entry(admin):
    site_choices.change(admin, side_by_side_percent=15)
    site_choices.change(admin, may_train_default=True)
    assert (site_choices.get().side_by_side_percent, site_choices.get().may_train_default) == (15, True)
    newest, first = AuditEntry.objects.filter(verb="choices.change")
    others = {"titles_by_model": False, "system_prompt": None, "best_of": 1, "rule_thresholds": {}}
    assert first.before == {"side_by_side_percent": 0, "may_train_default": None, **others}
    assert newest.before == {"side_by_side_percent": 15, "may_train_default": None, **others}
    assert newest.after == {"side_by_side_percent": 15, "may_train_default": True, **others}
    assert newest.actor == admin


def test_the_same_again_leaves_no_entry(admin):
    site_choices.change(admin, side_by_side_percent=15)
    site_choices.change(admin, side_by_side_percent=15)
    assert AuditEntry.objects.count() == 1


def test_more_than_all_turns_is_refused_and_leaves_nothing(admin):
    with pytest.raises(ValidationError):
        site_choices.change(admin, side_by_side_percent=101)
    assert site_choices.get().side_by_side_percent == 0
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("environment", [True, False])
@pytest.mark.parametrize("chosen", [True, False, None])
def test_a_new_conversation_follows_the_choice_and_else_the_environment(admin, settings, environment, chosen):
    settings.CHAT_CONSENT_DEFAULT = environment
    site_choices.change(admin, may_train_default=chosen)
    expected = environment if chosen is None else chosen
    assert Conversation.objects.create(owner=admin).may_train is expected


@pytest.mark.parametrize(
    ("is_default", "told"),
    [
        (True, "It may be used for training unless you switch off"),
        (False, "It is used for training only if you switch on"),
    ],
)
def test_an_empty_conversation_says_whether_it_trains(admin, client, is_default, told):
    site_choices.change(admin, may_train_default=is_default)
    agree(admin)
    client.force_login(admin)
    assert told in client.get("/").content.decode()


def test_a_person_s_settings_say_so_where_the_site_shows_no_pairs(admin, client):
    client.force_login(admin)
    words = "This site shows no pairs at the moment"
    assert words in client.get("/account/").content.decode()
    site_choices.change(admin, side_by_side_percent=1)
    assert words not in client.get("/account/").content.decode()


# --- instructions to the model ------------------------------------------------------------------------------------

ASKED = "Answer in one sentence."


def page(client, **changed):
    return client.post("/site/", {"side_by_side_percent": 0, "may_train_default": "", "best_of": 1, **changed})


def test_what_an_admin_writes_goes_before_the_environment_and_nothing_at_all_is_a_choice(admin, client, settings):
    settings.CHAT_SYSTEM_PROMPT = ASKED
    client.force_login(admin)
    assert ASKED in client.get("/site/").content.decode()
    page(client, system_prompt="Be kind.\r\nBe brief.")
    assert site_choices.system_prompt_for(None) == "Be kind.\nBe brief."
    assert "Be kind." in client.get("/site/").content.decode()
    page(client, system_prompt="")
    assert site_choices.system_prompt_for(None) == ""
    assert AuditEntry.objects.filter(verb="choices.change").first().before["system_prompt"] == "Be kind.\nBe brief."


def test_the_server_s_own_words_saved_again_follow_the_server(admin, client, settings):
    settings.CHAT_SYSTEM_PROMPT = ASKED
    client.force_login(admin)
    page(client, system_prompt=ASKED)
    settings.CHAT_SYSTEM_PROMPT = "Answer at length."
    assert site_choices.system_prompt_for(None) == "Answer at length."


def test_longer_instructions_than_a_context_bears_are_refused(admin, client):
    client.force_login(admin)
    assert page(client, system_prompt="a" * 1501).status_code == 400
    assert site_choices.get().system_prompt is None


def test_a_person_s_own_model_answers_as_its_data_taught_it(admin, settings):
    settings.CHAT_SYSTEM_PROMPT = ASKED
    own, shared = Policy(name="own", owner=admin), Policy(name="policy-2")
    assert [site_choices.system_prompt_for(policy) for policy in (None, shared, own)] == [ASKED, ASKED, ""]


def test_an_admin_sees_each_model_server_with_what_it_holds_and_what_it_refused(admin, client):
    client.force_login(admin)
    assert "Model servers" not in client.get("/site/").content.decode()
    ModelServer.objects.create(url="http://one/v1", state="up", listed=["base", "policy-3"], streams=7)
    refusals = {
        "policy-4": "other: HTTP 400: LoRA rank 32 is greater than max_lora_rank 16",
        "policy-5": "no_loading: ",
        "policy-6": "stored by an older version",
    }
    ModelServer.objects.create(url="http://two/v1", state="down", error="unwell: 503", refusals=refusals)
    old = timezone.now() - timedelta(minutes=1)
    ModelServer.objects.create(url="http://old/v1", state="up", listed=["what it held"], seen_at=old)
    page = client.get("/site/").content.decode()
    shown = (
        "base, policy-3",
        "<td>7</td>",
        "is not healthy (HTTP 503)",
        "not policy-4: HTTP 400: LoRA rank 32",
        "not policy-5: it takes no adapters while it runs",
        "not policy-6: stored by an older version",
        "unknown: no talker",
    )
    for words in shown:
        assert words in page, words
    assert "what it held" not in page
    korean = client.get("/site/", headers={"Accept-Language": "ko"}).content.decode()
    for words in (
        "모델 서버",
        "응답하지 않음",
        "policy-4 제외",
        "정상이 아니라고 응답합니다(HTTP 503)",
        "어댑터를 받지 않습니다",
    ):
        assert words in korean, words
