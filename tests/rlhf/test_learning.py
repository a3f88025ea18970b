"""How far it is to the next model, as the chat's home page says it, and the figures on the page for strangers."""

import re

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation
from rlhf import learning, tasks
from rlhf.models import Promotion, Run
from rlhf.runs import cycle
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def ann(base_policy, settings):
    settings.RLHF_CYCLE_AFTER = 12
    return feedback_rows.annotator("ann")


def words(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def home_of(client, person):
    client.force_login(person)
    return client.get("/", headers={"accept-language": "en"})


def test_the_home_page_counts_what_the_schedule_counts(ann, client):
    bob = feedback_rows.annotator("bob")
    for number in range(5):
        feedback_rows.rank(ann if number < 3 else bob, number)
    feedback_rows.rank(bob, 9, withdrawn_at=timezone.now())
    page = home_of(client, ann)
    assert "5 of 12 rankings until the next model. Yours: 3." in words(page)
    assert re.search(r'<progress class="progress" max="12" value="5"', page.content.decode())
    assert freezing.fresh_rankings() == 5


def test_a_ranking_counts_at_once_and_what_a_cycle_has_read_no_longer(ann, client, settings):
    settings.RLHF_CYCLE_AFTER = 30
    feedback_rows.plenty(ann)
    assert learning.state_for(ann).fresh == 24
    feedback_rows.rank(ann, 77)
    state = learning.state_for(ann)
    assert (state.fresh, state.mine, state.missing, state.is_due) == (25, 25, 5, False)
    run = cycle.start()
    Run.objects.filter(pk=run.pk).update(state=Run.State.FAILED)
    assert learning.state_for(ann).fresh == 0


def test_when_the_page_says_that_training_starts_the_schedule_starts_it(ann, client, settings, no_worker):
    settings.RLHF_CYCLE_AFTER = 24
    feedback_rows.plenty(ann)
    assert "the training starts within a minute" in words(home_of(client, ann))
    assert tasks.start_due_cycle() is not None
    page = words(home_of(client, ann))
    assert "A new version is being trained" in page
    assert "Waiting for the worker" in page


def test_when_the_schedule_cannot_start_the_page_does_not_promise_it(ann, client):
    for number in range(12):
        feedback_rows.rank(ann, number)
    assert tasks.start_due_cycle() is None
    page = words(home_of(client, ann))
    assert "cannot start yet" in page
    assert "within a minute" not in page


def test_a_running_training_shows_its_stage_and_step(ann, client, settings):
    settings.RLHF_CYCLE_AFTER = 24
    feedback_rows.plenty(ann)
    run = cycle.start()
    Run.objects.filter(pk=run.pk).update(
        state="running", progress={"stage": "policy", "step": 7, "steps": 40, "seconds_left": 120.0}
    )
    page = home_of(client, ann)
    assert "Policy · step 7 of 40 · about 2 minutes left in this stage" in words(page)
    assert 'max="40" value="7"' in page.content.decode()


def test_without_a_schedule_it_says_how_many_there_are_and_who_starts(ann, client, settings):
    settings.RLHF_CYCLE_AFTER = 0
    feedback_rows.rank(ann, 1)
    page = words(home_of(client, ann))
    assert "1 ranking since the last training. Yours: 1. An admin starts the next training." in page
    assert "until the next model" not in page


def test_only_who_may_rank_is_sent_to_rank(ann, client, admin):
    link = f'class="button small" href="{reverse("rank")}"'
    assert link in home_of(client, ann).content.decode()
    ann.groups.clear()
    assert link not in home_of(client, ann).content.decode(), "she has lost the role"
    assert link in home_of(client, admin).content.decode()


def test_a_conversation_with_messages_does_not_count_anything(ann, client, monkeypatch):
    monkeypatch.setattr(learning, "state_for", lambda person: 1 / 0)
    talk = Conversation.objects.create(owner=ann)
    talk.messages.create(role="user", text="Hello")
    client.force_login(ann)
    assert client.get(f"/c/{talk.pk}/").status_code == 200


# --- strangers ----------------------------------------------------------------------------------------------------


def test_strangers_see_totals_of_people_and_no_name(ann, client, base_policy):
    client.logout()
    assert "none yet" in words(client.get("/", headers={"accept-language": "en"}))
    robot = feedback_rows.annotator("robot", is_simulated=True)
    for number in range(4):
        feedback_rows.rank(ann, number)
        feedback_rows.rank(robot, number)
    at = timezone.now()
    for kind in ("gate", "rollback", "forced"):
        Promotion.objects.create(policy=base_policy, previous=base_policy, kind=kind, created_at=at)
    figures = learning.loop_figures()
    assert (figures.judgements, figures.policies, figures.newest_at) == (4, 1, at)
    page = client.get("/", headers={"accept-language": "en"})
    assert "Judgements so far 4 Versions promoted 1" in words(page)
    assert "ann" not in re.findall(r"\w+", words(page))


@pytest.mark.parametrize(("language", "word"), [("en", ">Judge<"), ("ko", ">판정<")])
def test_strangers_see_the_loop_in_their_language(client, db, language, word):
    page = client.get("/", headers={"accept-language": language}).content.decode()
    picture = page.split('<svg class="loop-picture"')[1].split("</svg>")[0]
    assert word in picture
    assert 'aria-hidden="true"' in picture
