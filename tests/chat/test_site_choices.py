"""What an admin chooses for the whole site."""

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEntry, User
from chat import site_choices
from chat.models import Conversation, SiteChoices

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
    assert first.before == {"side_by_side_percent": 0, "may_train_default": None, "titles_by_model": False}
    assert newest.before == {"side_by_side_percent": 15, "may_train_default": None, "titles_by_model": False}
    assert newest.after == {"side_by_side_percent": 15, "may_train_default": True, "titles_by_model": False}
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
    client.force_login(admin)
    assert told in client.get("/").content.decode()


def test_a_person_s_settings_say_so_where_the_site_shows_no_pairs(admin, client):
    client.force_login(admin)
    words = "This site shows no pairs at the moment"
    assert words in client.get("/account/").content.decode()
    site_choices.change(admin, side_by_side_percent=1)
    assert words not in client.get("/account/").content.decode()
