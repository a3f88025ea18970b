"""The annotator's and chatter's pages over HTTP: what they show, what they take, what they refuse and how."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.roles import Role
from chat.models import Message
from feedback.models import Ranking, RankingTask, Report, Rule, Violation
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task, take_task

PAGES = ["/rank/", "/rank/mine/", "/rank/guidelines/"]
MODERATORS_PAGES = ["/moderation/"]
CHATTERS_PAGES = ["/rules/"]
ADMINS_PAGES = ["/rules/no-body/"]


@pytest.fixture
def task(policy, annotator, seeds):
    return make_task(policy)


@pytest.fixture
def client(annotator, signed_in):
    return signed_in(annotator)


def places(task, *given):
    ids = task.completions.values_list("pk", flat=True)
    return {f"place-{pk}": place for pk, place in zip(ids, given, strict=False)}


def test_the_page_shows_replies_without_their_source(task, client, policy):
    page = client.get("/rank/").content.decode()
    assert all(f"Reply number {index}." in page for index in range(4))
    assert page.count('name="place-') == 16
    assert policy.name not in page
    shown = [int(pk) for pk in re.findall(r'data-reply="(\d+)"', page)]
    assert shown == task.assignments.get().shown_order


def test_a_ranking_by_plain_form_leads_to_the_next_task(task, client, policy):
    other = make_task(policy, "Why is the sky blue?")
    client.get("/rank/")
    version = Rule.objects.get(key="no-body").versions.first()
    flagged = task.completions.last().pk
    data = {**places(task, 1, 2, 2, 4), "flag": f"{flagged}:{version.pk}", "comment": "fine"}
    response = client.post(f"/rank/{task.pk}/submit/", data)
    assert (response.status_code, response.headers["Location"]) == (302, "/rank/")
    assert sorted(Ranking.objects.get().ranks.values()) == [1, 2, 2, 3]
    assert Violation.objects.filter(is_violation=True).get().completion_id == flagged
    assert "Why is the sky blue?" in client.get("/rank/").content.decode()
    assert RankingTask.objects.get(pk=other.pk).state == "leased"


def test_a_rule_that_the_prompt_tempts_to_break_is_asked_about_on_each_reply(policy, client, seeds):
    rule = Rule.objects.get(key="no-body")
    version = rule.versions.first()
    task = make_task(policy, "Are you tired?", elicits=rule)
    page = client.get("/rank/").content.decode()
    assert page.count(f"“{version.name}”: this reply") == 4
    assert len(re.findall(rf'name="grade-\d+-{version.pk}"', page)) == 20
    foreign = Rule.objects.get(key="no-insults").versions.first().pk
    client.post(f"/rank/{task.pk}/submit/", {**places(task, 1, 2, 3, 4), "asked": [version.pk, foreign]})
    assert list(Violation.objects.values_list("rule_version", "is_violation").distinct()) == [(version.pk, False)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "4 of 4 replies are not ranked"),
        ({3: None}, "1 of 4 replies are not ranked"),
        ({0: ["1", "2"]}, "includes one reply twice"),
        ({0: "0"}, "from 1 to 4"),
        ({0: "best"}, "whole numbers"),
    ],
)
def test_a_bad_ranking_is_a_clear_error_and_keeps_what_was_marked(task, client, given, said):
    client.get("/rank/")
    ids = list(task.completions.values_list("pk", flat=True))
    data = {f"place-{pk}": "2" for pk in ids} if given else {}
    for index, value in given.items():
        data[f"place-{ids[index]}"] = value
    data = {name: value for name, value in data.items() if value is not None}
    response = client.post(f"/rank/{task.pk}/submit/", {**data, "comment": "my words"})
    page = response.content.decode()
    assert response.status_code == 400
    assert said in page
    assert "my words" in page
    assert not Ranking.objects.exists()
    assert client.post(f"/rank/{task.pk}/submit/", places(task, 1, 1, 2, 3)).status_code == 302


@pytest.mark.parametrize("flag", ["nonsense", "1:2:3", "0:0", "9" * 400 + ":1", "-1:1", "1:x"])
def test_a_bad_flag_is_a_clear_error(task, client, flag):
    client.get("/rank/")
    response = client.post(f"/rank/{task.pk}/submit/", {**places(task, 1, 2, 3, 4), "flag": flag})
    assert response.status_code == 400
    assert "A flag refers to a reply or a rule" in response.content.decode()
    assert not Ranking.objects.exists()


def test_a_second_submit_is_a_clear_error(task, client):
    client.get("/rank/")
    client.post(f"/rank/{task.pk}/submit/", places(task, 1, 2, 3, 4))
    again = client.post(f"/rank/{task.pk}/submit/", places(task, 4, 3, 2, 1))
    assert again.status_code == 409
    assert "already ranked" in again.content.decode()
    assert list(Ranking.objects.get().ranks.values()) == [1, 2, 3, 4]


def test_a_foreign_or_missing_task_is_refused(task, client, person, signed_in):
    signed_in(person("bob", Role.ANNOTATOR)).get("/rank/")
    for action, data in (("submit", places(task, 1, 2, 3, 4)), ("skip", {"reason": "other"})):
        response = client.post(f"/rank/{task.pk}/{action}/", data)
        assert response.status_code == 409
        assert "no longer assigned to you" in response.content.decode()
    assert client.post("/rank/999999/submit/", {}).status_code == 404
    assert not Ranking.objects.exists()


def test_a_draft_survives_a_reload(task, client):
    client.get("/rank/")
    first, second = task.completions.values_list("pk", flat=True)[:2]
    version = Rule.objects.get(key="no-body").versions.first().pk
    draft = {"places": {str(first): "3"}, "flags": [f"{second}:{version}"], "comment": "half done"}
    response = client.post(f"/rank/{task.pk}/draft/", draft, content_type="application/json")
    assert response.status_code == 204
    page = client.get("/rank/").content.decode()
    assert re.search(rf'name="place-{first}" value="3" required checked', page)
    assert re.search(rf'value="{second}:{version}" checked', page)
    assert "half done" in page


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"places": []}',
        b'{"flags": [1]}',
        b'{"x": 1}',
        b'{"comment": 1}',
        b"[" * 9000,
        b" " * 20_001,
    ],
)
def test_a_bad_draft_is_refused_and_the_page_still_opens(task, client, body):
    client.get("/rank/")
    assert client.post(f"/rank/{task.pk}/draft/", body, content_type="application/json").status_code == 400
    assert client.get("/rank/").status_code == 200


def test_a_skip_needs_a_reason(task, client):
    client.get("/rank/")
    client.post(f"/rank/{task.pk}/skip/", {"reason": "boring"})
    assert client.get("/rank/").context["task"] == task
    client.post(f"/rank/{task.pk}/skip/", {"reason": "unclear"})
    assert "No tasks for you right now" in client.get("/rank/").content.decode()


def test_my_rankings_shows_mine_and_takes_them_back(task, client, person, signed_in):
    client.get("/rank/")
    client.post(f"/rank/{task.pk}/submit/", places(task, 1, 2, 3, 4))
    made = Ranking.objects.get()
    assert "What is a rainbow?" in client.get("/rank/mine/").content.decode()
    stranger = signed_in(person("bob", Role.ANNOTATOR))
    assert "What is a rainbow?" not in stranger.get("/rank/mine/").content.decode()
    assert stranger.post(f"/rank/mine/{made.pk}/withdraw/").status_code == 404
    assert client.post(f"/rank/mine/{made.pk}/withdraw/").status_code == 302
    made.refresh_from_db()
    assert made.withdrawn_at
    assert "withdrawn" in client.get("/rank/mine/").content.decode()


def test_a_reply_that_was_cut_says_so_and_no_other_does(policy, client, seeds):
    task = make_task(policy)
    assert "Cut off here" not in client.get("/rank/").content.decode()
    task.completions.filter(index=0).update(finish_reason="length")
    assert client.get("/rank/").content.decode().count("Cut off here") == 1


def test_hostile_replies_stay_text(policy, client, seeds):
    task = make_task(policy)
    task.completions.filter(index=0).update(text="<script>alert(1)</script> \u202eevil\u200b \U000e0041 & choose A")
    page = client.get("/rank/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [U+202E]evil[U+200B] [U+E0041] &amp; choose A" in page


def test_a_sensitive_task_is_covered_first(policy, client, seeds):
    make_task(policy, "Insult me", elicits=Rule.objects.get(key="no-insults"))
    assert '<details class="cover">' in client.get("/rank/").content.decode()


# --- reports --------------------------------------------------------------------------------------


def test_a_chatter_reports_a_reply_of_their_own_conversation(person, signed_in, seeds, policy):
    carl = person("carl")
    reply = talk(carl, "Hello", "Rude words", policy=policy)[1]
    client = signed_in(carl)
    page = client.get(f"/messages/{reply.pk}/report/").content.decode()
    assert "Rude words" in page
    response = client.post(f"/messages/{reply.pk}/report/", {"rule": "no-insults", "comment": "rude"})
    assert response.headers["Location"] == f"/c/{reply.conversation_id}/" or response.status_code == 302
    report = Report.objects.get()
    assert (report.message, report.reporter, report.rule_version.rule.key) == (reply, carl, "no-insults")
    answer = client.post(f"/messages/{reply.pk}/report/", {"rule": ""}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["ok"]) == (201, True)
    wrong = client.post(f"/messages/{reply.pk}/report/", {"rule": "nope"}, headers={"Accept": "application/json"})
    assert (wrong.status_code, "rule" in wrong.json()["errors"]) == (400, True)


def test_only_replies_of_one_s_own_conversation_can_be_reported(person, signed_in, seeds, policy):
    carl, eve = person("carl"), person("eve", Role.ADMIN)
    asked, reply = talk(carl, "Hello", "Rude words", policy=policy)
    assert signed_in(eve).post(f"/messages/{reply.pk}/report/", {}).status_code == 404
    assert signed_in(carl).post(f"/messages/{asked.pk}/report/", {}).status_code == 404
    Message.objects.get(pk=reply.pk).conversation.__class__.objects.update(deleted_at=timezone.now())
    assert signed_in(carl).post(f"/messages/{reply.pk}/report/", {}).status_code == 404
    assert not Report.objects.exists()


# --- roles and languages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "least"),
    [
        (CHATTERS_PAGES, Role.CHATTER),
        (PAGES, Role.ANNOTATOR),
        (MODERATORS_PAGES, Role.MODERATOR),
        (ADMINS_PAGES, Role.ADMIN),
    ],
)
def test_pages_open_from_a_role_upward(pages, least, person, signed_in, seeds):
    order = [Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN]
    for role in order:
        client = signed_in(person(f"a-{role}", role))
        wanted = 200 if order.index(role) >= order.index(least) else 403
        assert {client.get(page).status_code for page in pages} == {wanted}, role


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_page_opens_in_both_languages(language, admin, signed_in, policy, seeds, person):
    client = signed_in(admin, accept_language=language)
    rule = Rule.objects.get(key="no-body")
    reply = talk(person("carl"), "Hi", "Hm", policy=policy)[1]
    Report.objects.create(message=reply, reporter=admin, rule_version=rule.versions.first())
    task = make_task(policy, elicits=rule)
    addresses = [*CHATTERS_PAGES, *PAGES, *MODERATORS_PAGES, *ADMINS_PAGES, f"/moderation/message/{reply.pk}/"]
    addresses += [f"/moderation/message/{reply.pk}/{verb}/" for verb in ("hide", "suspend", "dismiss", "lift")]
    for address in addresses:
        response = client.get(address)
        page = response.content.decode()
        assert response.status_code == 200, address
        assert f'<html lang="{language}">' in page
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page), address
    name = rule.versions.first().name_ko if language == "ko" else rule.versions.first().name_en
    assert name in client.get("/rank/").content.decode()
    assert RankingTask.objects.get(pk=task.pk).state == "leased"


def test_every_post_needs_a_token(annotator, policy, seeds):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(annotator)
    task = make_task(policy)
    take_task(annotator)
    for address in (
        f"/rank/{task.pk}/submit/",
        f"/rank/{task.pk}/draft/",
        f"/rank/{task.pk}/skip/",
        "/messages/1/report/",
    ):
        assert client.post(address, {}).status_code == 403


# --- the task page as its script uses it ----------------------------------------------------------

FRAGMENT = {"X-Fragment": "task"}


def test_a_submit_by_script_is_answered_with_the_next_task_alone(task, client, policy):
    other = make_task(policy, "Why is the sky blue?")
    client.get("/rank/")
    response = client.post(f"/rank/{task.pk}/submit/", places(task, 1, 2, 3, 4), headers=FRAGMENT)
    page = response.content.decode()
    assert response.status_code == 200
    assert "Why is the sky blue?" in page
    assert "<html" not in page
    assert f'data-last-url="/rank/mine/{Ranking.objects.get().pk}/?then=rank"' in page
    assert other.assignments.exists()
    assert client.post(f"/rank/{other.pk}/submit/", places(other, 1, 2, 3, 4), headers=FRAGMENT).status_code == 204


def test_a_refused_submit_by_script_is_the_task_again_with_what_was_entered(task, client):
    client.get("/rank/")
    given = {**places(task, 1, 2, 3), "strength-1": "3", "overall": "", "comment": "my words"}
    response = client.post(f"/rank/{task.pk}/submit/", given, headers=FRAGMENT)
    page = response.content.decode()
    assert response.status_code == 400
    assert "1 of 4 replies are not ranked" in page
    assert "my words" in page
    assert re.search(r'name="strength-1">.*?value="3" selected', page)


def test_the_form_says_strength_grades_folds_and_active_seconds(policy, client, seeds, annotator):
    rule = Rule.objects.get(key="no-body")
    version = rule.versions.first().pk
    task = make_task(policy, "Are you tired?", elicits=rule)
    client.get("/rank/")
    first, *_others, last = task.completions.values_list("pk", flat=True)
    grades = {f"grade-{pk}-{version}": "1" for pk in task.completions.values_list("pk", flat=True)}
    also = {
        "strength-2": "3",
        "overall": "good",
        "active_seconds": "0.2",
        "was_folded": "1",
        "unfolded": [first, last],
    }
    client.post(
        f"/rank/{task.pk}/submit/",
        {**places(task, 1, 2, 2, 4), **grades, f"grade-{first}-{version}": "-2", **also},
    )
    made = Ranking.objects.get()
    assert (made.strength, made.overall, made.unfolded) == ([0, 3], "good", [first, last])
    assert made.active_seconds == pytest.approx(0.2, abs=0.2)
    assert sorted(Violation.objects.values_list("grade", "is_violation")) == [(-2, True)] + [(1, False)] * 3


@pytest.mark.parametrize("name", ["grade-1", "grade-x-1", "grade-1-1-1", "strength-x"])
def test_a_field_with_a_wrong_name_is_a_clear_error(task, client, name):
    client.get("/rank/")
    assert client.post(f"/rank/{task.pk}/submit/", {**places(task, 1, 2, 3, 4), name: "1"}).status_code == 400


def test_the_last_ranking_is_reopened_as_it_was_answered_and_corrected(task, client):
    client.get("/rank/")
    client.post(f"/rank/{task.pk}/submit/", {**places(task, 1, 2, 3, 4), "strength-1": "2", "comment": "first words"})
    made = Ranking.objects.get()
    address = f"/rank/mine/{made.pk}/"
    page = client.get(address).content.decode()
    assert [int(pk) for pk in re.findall(r'data-reply="(\d+)"', page)] == made.shown_order
    ids = list(task.completions.values_list("pk", flat=True))
    assert all(f'name="place-{pk}" value="{place}" required checked' in page for place, pk in enumerate(ids, start=1))
    assert re.search(r'name="strength-1">.*?value="2" selected', page)
    assert "first words" in page
    assert client.post(address, places(task, 1, 2)).status_code == 400
    response = client.post(address, {**places(task, 4, 3, 2, 1), "then": "rank"})
    assert response.headers["Location"] == "/rank/"
    assert list(Ranking.objects.get().ranks.values()) == [4, 3, 2, 1]


def test_nobody_reopens_another_person_s_ranking_or_an_old_one(task, client, person, signed_in):
    client.get("/rank/")
    client.post(f"/rank/{task.pk}/submit/", places(task, 1, 2, 3, 4))
    address = f"/rank/mine/{Ranking.objects.get().pk}/"
    stranger = signed_in(person("bob", Role.ANNOTATOR))
    assert [stranger.get(address).status_code, stranger.post(address, places(task, 4, 3, 2, 1)).status_code] == [
        404
    ] * 2
    Ranking.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert client.get(address).headers["Location"] == "/rank/mine/"
    assert client.post(address, places(task, 4, 3, 2, 1)).status_code == 409
    assert list(Ranking.objects.get().ranks.values()) == [1, 2, 3, 4]


def test_a_skip_for_the_language_offers_to_change_one_s_languages_and_all_bad_is_no_skip(task, client):
    page = client.get("/rank/").content.decode()
    assert "/account/#s-judging" in page
    assert 'value="all_bad"' not in page
    client.post(f"/rank/{task.pk}/skip/", {"reason": "all_bad"})
    assert client.get("/rank/").context["task"] == task
    page = client.post(f"/rank/{task.pk}/skip/", {"reason": "language"}, follow=True).content.decode()
    assert "Somebody who speaks the language can rank it" in page


def test_the_list_of_one_s_rankings_asks_the_database_no_more_for_more_of_them(annotator, policy, client, seeds):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries():
        with CaptureQueriesContext(connection) as seen:
            assert client.get("/rank/mine/").status_code == 200
        return len(seen)

    for number in range(2):
        task = make_task(policy, f"Question {number}?")
        take_task(annotator)
        client.post(f"/rank/{task.pk}/submit/", places(task, 1, 2, 3, 4))
    few = queries()
    for number in range(2, 9):
        task = make_task(policy, f"Question {number}?")
        take_task(annotator)
        client.post(f"/rank/{task.pk}/submit/", places(task, 1, 2, 3, 4))
    assert queries() == few
