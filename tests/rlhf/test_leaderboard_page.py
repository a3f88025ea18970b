"""The page of the leaderboard: what it shows to whom."""

import pytest
from django.core.cache import cache
from django.urls import reverse

from chat.models import Policy
from feedback.leaderboard import recording
from tests.feedback.leaderboard.vote_rows import choose
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_kept():
    cache.clear()


@pytest.fixture
def birds():
    return [
        Policy.objects.create(name=name, version=number, is_scripted=True, is_live=name == "wren")
        for number, name in enumerate(("wren", "heron", "crane", "rook", "stork"), start=11)
    ]


@pytest.fixture
def voted(birds):
    """wren beats heron; crane and rook were compared with each other alone; stork with nobody."""
    wren, heron, crane, rook, _stork = birds
    for number in range(12):
        ann = feedback_rows.annotator(f"ann-{number % 4}")
        choose(ann, wren, heron, ("left", "left", "tie", "right")[number % 4])
    choose(feedback_rows.annotator("ann-0"), crane, rook)
    choose(feedback_rows.annotator("program", is_simulated=True), rook, heron)
    recording.record()


def page(client, query="", person="reader"):
    client.force_login(feedback_rows.annotator(person))
    response = client.get(reverse("leaderboard") + query)
    assert response.status_code == 200
    return response


def names(group):
    return [row["policy"].name for row in group["rows"]]


def test_each_group_has_a_table_and_the_rest_are_not_yet_compared(client, voted):
    shown = page(client)
    assert [names(group) for group in shown.context["groups"]] == [["wren", "heron"], ["crane", "rook"]]
    assert [policy.name for policy in shown.context["unrated"]] == ["stork"]
    assert "were never compared with those above" in shown.content.decode()


def test_a_row_leads_to_its_policy_and_the_live_one_is_marked(client, voted):
    text = page(client).content.decode()
    assert f'href="{reverse("policy", args=["heron"])}"' in text
    row = text[text.index(f'<a href="{reverse("policy", args=["wren"])}"') :].split("</td>")[0]
    assert '<span class="badge ok">live</span>' in row


def test_simulated_votes_are_shown_alone_and_labelled(client, voted):
    shown = page(client, "?judges=programs")
    assert [names(group) for group in shown.context["groups"]] == [["rook", "heron"]]
    assert "Simulated annotators cast these votes." in shown.content.decode()
    assert "Simulated annotators cast these votes." not in page(client).content.decode()


def test_an_unknown_language_shows_all_votes(client, voted):
    assert page(client, "?language=xx&judges=nobody").context["figures"].votes == 13
    assert page(client, "?language=en").context["figures"].votes == 13


def test_a_model_of_somebody_else_is_in_no_table(client, voted):
    Policy.objects.filter(name="heron").update(owner=feedback_rows.annotator("mina"), label="davinci:heron")
    assert names(page(client).context["groups"][0]) == ["wren"]
    assert "heron" not in page(client).content.decode()
    assert names(page(client, person="mina").context["groups"][0]) == ["wren", "heron"]


def test_a_site_without_votes_says_where_they_come_from(client, birds):
    assert "No votes between two policies yet." in page(client).content.decode()


def test_the_matrix_says_who_took_what_from_whom(client, voted):
    (_wren, cells), _ = page(client).context["groups"][0]["matrix"]
    assert cells == [{}, {"share": 7.5 / 12, "votes": 12}]


def test_how_many_queries_does_not_depend_on_how_many_policies(client, voted, django_assert_max_num_queries):
    page(client)
    with django_assert_max_num_queries(40) as few:
        page(client)
    ann = feedback_rows.annotator("ann-0")
    for number in range(20, 26):
        bird = Policy.objects.create(name=f"bird-{number}", version=number, is_scripted=True)
        choose(ann, bird, Policy.objects.get(name="wren"))
    recording.record()
    with django_assert_max_num_queries(len(few)):
        page(client)
