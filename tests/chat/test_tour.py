"""The tour: on the home page until somebody has put it away, and on a page of its own for ever."""

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import Conversation, SiteChoices
from tests.consenting import agree
from tests.people import make_person

pytestmark = pytest.mark.django_db
CARDS = 'class="tour-cards"'


@pytest.fixture
def sora():
    return make_person("sora")


def browser(person):
    client = Client(headers={"accept-language": "en"})
    client.force_login(person)
    return client


def test_a_first_visit_begins_with_it_and_it_is_put_away_on_every_device(sora):
    client = browser(sora)
    assert CARDS in client.get("/").content.decode()
    assert client.post("/tour/finish/")["Location"] == "/"
    assert CARDS not in browser(sora).get("/").content.decode()


def test_it_remembers_the_first_time_alone(sora):
    browser(sora).post("/tour/finish/")
    sora.refresh_from_db()
    first = sora.toured_at
    browser(sora).post("/tour/finish/")
    sora.refresh_from_db()
    assert first is not None
    assert sora.toured_at == first


def test_it_is_still_there_in_the_menu_for_who_has_seen_it(sora):
    sora.toured_at = timezone.now()
    sora.save()
    client = browser(sora)
    assert 'href="/tour/"' in client.get("/").content.decode()
    assert CARDS in client.get("/tour/").content.decode()


def test_it_stands_in_no_conversation(sora):
    shown = Conversation.objects.create(owner=sora)
    assert CARDS not in browser(sora).get(f"/c/{shown.pk}/").content.decode()


@pytest.mark.parametrize(("is_on", "words"), [(True, "unless you switch it off"), (False, "until you switch it on")])
@pytest.mark.parametrize("address", ["/", "/tour/"])
def test_it_says_what_this_site_does_with_new_conversations(sora, address, is_on, words):
    SiteChoices.objects.create(may_train_default=is_on)
    agree(sora)
    assert f"for a new conversation {words}" in browser(sora).get(address).content.decode()
