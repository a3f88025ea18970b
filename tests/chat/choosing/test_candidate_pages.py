"""The page of a reply's candidates, the badge that leads there, and the choices on the admin's page."""

import pytest
from django.contrib.auth.models import Group

from accounts import personal
from accounts.models import AuditEntry, User
from chat.models import Candidate, Choice, Message, Reply, SiteChoices

pytestmark = pytest.mark.django_db


@pytest.fixture
def reply(conversation, scripted_policy, scorer):
    asked = Message.objects.create(conversation=conversation, role="user", text="Hi")
    said = Message.objects.create(conversation=conversation, role="assistant", parent=asked, text="A good day")
    made = Reply.objects.create(message=said, policy=scripted_policy, state="complete")
    choice = Choice.objects.create(
        reply=made, best_of=2, outcome="chosen", sampling_ms=900, scoring_ms=50, thresholds={"insults": 0.5}
    )
    rows = [
        {
            "text": "A good day",
            "violations": {"insults": 0.1},
            "is_chosen": True,
            "reason": "best",
            "rank_score": 0.6,
        },
        {"text": "You fool", "violations": {"insults": 0.9}, "reason": "rule", "left_out_by": "insults"},
    ]
    for number, row in enumerate(rows):
        Candidate.objects.create(choice=choice, number=number, score=1.5, **row)
    return made


@pytest.fixture
def moderator():
    user = User.objects.create_user("mod", password="not the demo one")
    user.groups.add(Group.objects.get_or_create(name="moderator")[0])
    return user


@pytest.fixture
def admin():
    return User.objects.create_superuser("admin", password="not the demo one")


def page_of(client, user, reply):
    client.force_login(user)
    return client.get(f"/replies/{reply.pk}/candidates/")


def test_its_owner_sees_the_candidates_but_not_what_a_guard_kept_back(client, alice, reply):
    text = page_of(client, alice, reply).content.decode()
    assert "A good day" in text
    assert "900 ms" in text
    assert "left out: above the limit of a rule" in text
    assert "Left out by “insults”." in text
    assert "Its text is not shown." in text
    assert "You fool" not in text


def test_a_moderator_sees_all_of_it_and_others_nothing(client, moderator, reply):
    text = page_of(client, moderator, reply).content.decode()
    assert "You fool" in text
    assert "0.900" in text
    mallory = User.objects.create_user("mallory", password="not the demo one")
    assert page_of(client, mallory, reply).status_code == 404
    client.logout()
    assert client.get(f"/replies/{reply.pk}/candidates/").status_code == 302


@pytest.mark.parametrize("field", ["hidden", "deleted", "temporary"])
def test_hidden_deleted_and_temporary_ones_are_not_shown(client, alice, moderator, conversation, reply, field):
    now = reply.queued_at
    if field == "hidden":
        Message.objects.filter(pk=reply.message_id).update(hidden_at=now)
    else:
        name = {"deleted": "deleted_at", "temporary": "expires_at"}[field]
        type(conversation).objects.filter(pk=conversation.pk).update(**{name: now, "may_train": False})
    seen = {"hidden": (404, 200), "deleted": (404, 404), "temporary": (200, 404)}[field]
    assert (page_of(client, alice, reply).status_code, page_of(client, moderator, reply).status_code) == seen


def test_the_chat_says_among_how_many_it_was_chosen_in_both_languages(client, alice, conversation, reply):
    client.force_login(alice)
    text = client.get(f"/c/{conversation.pk}/").content.decode()
    assert "chosen among 2, 950 ms</a>" in text
    assert f'href="/replies/{reply.pk}/candidates/"' in text
    Choice.objects.update(outcome="unscored")
    assert "not chosen: the scorer failed</a>" in client.get(f"/c/{conversation.pk}/").content.decode()
    Choice.objects.update(outcome="open")
    Reply.objects.update(state="streaming")
    korean = client.get(f"/c/{conversation.pk}/", headers={"accept-language": "ko"}).content.decode()
    assert "답변 2개 중에서 고르는 중" in korean


def test_what_a_person_takes_out_is_without_what_a_guard_kept_back(alice, reply):
    tables = [table for module in personal.modules() for table in module.EXPORT if table.label == "chat.Candidate"]
    rows = [row for table in tables for row in table.rows(alice)]
    assert [row["text"] for row in rows] == ["A good day", ""]


def test_both_leave_with_the_conversation(conversation, reply):
    conversation.delete()
    assert not Choice.objects.exists()
    assert not Candidate.objects.exists()


# --- the admin's page ----------------------------------------------------------------------------------------------


def form_with(**values):
    return {"side_by_side_percent": 0, "may_train_default": "", "best_of": 1, **values}


def test_an_admin_sets_both_and_each_change_is_recorded(client, admin, reply):
    client.force_login(admin)
    answer = client.post("/site/", form_with(best_of=4, **{"limit-insults": "0.5"}))
    assert answer.status_code == 302
    stored = SiteChoices.objects.get()
    assert (stored.best_of, stored.rule_thresholds) == (4, {"insults": 0.5})
    entry = AuditEntry.objects.get(verb="choices.change")
    assert (entry.before["best_of"], entry.after["rule_thresholds"]) == (1, {"insults": 0.5})
    text = client.get("/site/").content.decode()
    assert '<option value="0.5" selected>' in text
    assert "above 0.50: finds 80% of violations, blocks 12% of good replies" in text
    assert "Measured on 20 held-out labels of violations and 50 of others." in text
    client.post("/site/", form_with())
    assert SiteChoices.objects.get().rule_thresholds == {}


@pytest.mark.parametrize("values", [{"best_of": 9}, {"best_of": 0}, {"limit-insults": "1.5"}, {"limit-lies": "x"}])
def test_values_that_make_no_sense_are_refused(client, admin, reply, values):
    client.force_login(admin)
    assert client.post("/site/", form_with(**values)).status_code == 400
    assert not SiteChoices.objects.exists()


def test_a_rule_that_can_not_be_told_any_more_can_be_switched_off(client, admin, reply):
    SiteChoices.objects.create(rule_thresholds={"gone": 0.35})
    client.force_login(admin)
    text = client.get("/site/").content.decode()
    assert "cannot tell this rule any more" in text
    client.post("/site/", form_with(**{"limit-gone": "0.35"}))
    assert SiteChoices.objects.get().rule_thresholds == {"gone": 0.35}
    client.post("/site/", form_with(**{"limit-gone": ""}))
    assert SiteChoices.objects.get().rule_thresholds == {}


def test_the_page_tells_how_long_it_takes_and_where_there_is_no_reward_model(client, admin, reply, scorer):
    client.force_login(admin)
    text = client.get("/site/").content.decode()
    assert "median 900 ms, 95% within 900 ms" in text
    assert "No reward model judges" not in text
    scorer(None)
    assert "so replies are neither chosen nor guarded" in client.get("/site/").content.decode()
    SiteChoices.objects.create(rule_thresholds={"insults": 0.5})
    assert "its replies are not shown" in client.get("/site/").content.decode()
