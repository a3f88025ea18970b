"""What the page without a task says: that one is being made and how far it is, or what its making waits for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chat.models import EngineProcess, Policy, Reply
from feedback.judgements import refill_lease
from feedback.judgements.stock_state import StockReason, StockState, stock_state
from feedback.models import TaskRefill
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task


@pytest.fixture
def engine(policy):
    return EngineProcess.objects.create(policy=policy, state="ready", is_default=True)


@pytest.fixture
def chatting(person):
    reply = talk(person("carl"), "Hello", "", may_train=False)[1].reply
    Reply.objects.filter(pk=reply.pk).update(state="streaming", lease_until=timezone.now() + timedelta(seconds=20))
    return reply


def test_without_a_policy_there_is_no_model(db):
    assert stock_state().reason == StockReason.NO_POLICY


def test_a_site_without_a_stock_says_so(policy, settings):
    settings.FEEDBACK_TASK_STOCK = 0
    assert stock_state().reason == StockReason.SWITCHED_OFF


def test_a_full_stock_is_for_others(policy, engine, settings):
    settings.FEEDBACK_TASK_STOCK = 2
    make_task(policy, "One?")
    assert stock_state().reason == StockReason.SOON
    make_task(policy, "Two?")
    state = stock_state()
    assert (state.reason, state.ready, state.wanted) == (StockReason.NONE_FOR_YOU, 2, 2)


def test_the_engine_comes_first(policy, engine):
    EngineProcess.objects.update(state="starting")
    assert stock_state().reason == StockReason.NO_ENGINE


def test_while_somebody_chats_it_waits_even_if_a_task_is_begun(policy, engine, chatting):
    with refill_lease.held() as lease:
        lease.begin(2, 4)
        lease.look()
        state = stock_state()
        assert (state.reason, state.done, state.of) == (StockReason.PEOPLE_FIRST, 2, 4)
        Reply.objects.filter(pk=chatting.pk).update(state="complete", ended_at=timezone.now())
        assert stock_state().reason == StockReason.BEING_MADE
    assert stock_state() == StockState(StockReason.SOON, 0, 8)


def test_a_killed_process_makes_nothing_any_more(policy, engine):
    TaskRefill.objects.create(owner="killed", lease_until=timezone.now() - timedelta(seconds=1), done=3, wanted=4)
    state = stock_state()
    assert (state.reason, state.of) == (StockReason.SOON, 0)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_tells_each_of_it(language, policy, engine, chatting, annotator, signed_in):
    client = signed_in(annotator, **{"accept-language": language})
    said = {}
    with refill_lease.held() as lease:
        lease.begin(2, 4)
        lease.look()
        said["waits"] = client.get("/rank/").content.decode()
        Reply.objects.update(state="complete")
        said["made"] = client.get("/rank/").content.decode()
    Policy.objects.update(is_live=False)
    said["none"] = client.get("/rank/").content.decode()
    words = {
        "en": {"waits": "people come first", "made": "2 of the 4 replies", "none": "manage.py fetch_model"},
        "ko": {"waits": "사람이 먼저", "made": "4개 가운데 2개", "none": "manage.py fetch_model"},
    }
    assert [name for name, word in words[language].items() if word not in said[name]] == []
