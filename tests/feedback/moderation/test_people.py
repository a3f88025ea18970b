"""A person's page: what moderators know of them, and acts that name whom they are about."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry, Notice
from accounts.roles import Role
from feedback.errors import NotAllowed, NothingToDo, NotTheirAccount, WarningNeeded
from feedback.models import GivenWarning, ModeratorNote, Report
from feedback.moderation import people
from tests.feedback.conversation_rows import talk


@pytest.fixture
def client(moderator, signed_in):
    return signed_in(moderator, **{"accept-language": "en"})


def test_the_page_tells_reports_by_and_against_and_standing(reply, carl, person, client):
    Report.objects.create(reporter=person("eve"), message=reply, comment="By eve.")
    page = client.get(f"/moderation/people/{carl.pk}/").text
    assert '<h1 class="acted-on">carl</h1>' in page
    assert "By eve." in page
    assert "1 open, 0 upheld, 0 dismissed" in page
    assert page.count("rude") >= 2, "their own report, with its comment and the text"
    found = people.history_of(carl)
    assert (found.conversations, found.messages, found.made_total, found.about) == (1, 1, 1, {"open": 1})


def test_a_warning_is_a_notice_a_row_and_an_audit_entry_until_it_is_withdrawn(carl, client):
    asked = client.get(f"/moderation/people/{carl.pk}/warn/").text
    assert '<p class="acted-on">carl</p>' in asked
    client.post(f"/moderation/people/{carl.pk}/warn/", {"reason": "Please be kind."})
    warning = GivenWarning.objects.get()
    notice = Notice.objects.get(person=carl)
    assert "Please be kind." in notice.text
    assert (warning.person, warning.given_by.username) == (carl, "mod")
    assert AuditEntry.objects.get(verb="user.warn").target == people.page_of(carl).entries[0].target
    assert "Please be kind." in client.get(f"/moderation/people/{carl.pk}/").text
    client.post(f"/moderation/people/{carl.pk}/warnings/{warning.pk}/withdraw/", {"reason": "wrong person"})
    assert not Notice.objects.exists()
    assert people.history_of(carl).warnings == 0
    warning.refresh_from_db()
    with pytest.raises(NothingToDo):
        people.withdraw_warning(warning, warning.given_by, "twice")


def test_nobody_can_choose_not_to_be_warned(carl, moderator):
    carl.notice_choices = {"warned": False}
    carl.save()
    people.warn(carl, moderator, "Please be kind.")
    assert Notice.objects.filter(person=carl).exists()


def test_who_may_warn_whom(carl, moderator, admin, person):
    with pytest.raises(NotAllowed):
        people.warn(moderator, carl, "x")
    with pytest.raises(NotTheirAccount):
        people.warn(admin, moderator, "x")
    with pytest.raises(WarningNeeded):
        people.warn(carl, moderator, "  ")
    assert not AuditEntry.objects.exists()
    assert people.warn(moderator, admin, "x").person == moderator


def test_from_the_page_a_person_is_suspended_and_restored(carl, client):
    until = (timezone.localdate() + timedelta(days=3)).isoformat()
    asked = client.get(f"/moderation/people/{carl.pk}/suspend/").text
    assert '<p class="acted-on">carl</p>' in asked
    client.post(f"/moderation/people/{carl.pk}/suspend/", {"reason": "a raid", "until": until})
    carl.refresh_from_db()
    assert carl.is_suspended
    client.post(f"/moderation/people/{carl.pk}/lift/", {"reason": "sorry"})
    carl.refresh_from_db()
    assert not carl.is_suspended
    assert client.get(f"/moderation/people/{carl.pk}/dance/").status_code == 404
    client.post(f"/moderation/people/{carl.pk}/note/", {"text": "Knows eve."})
    assert "Knows eve." in client.get(f"/moderation/people/{carl.pk}/").text


def test_new_accounts_are_listed_for_a_day_without_their_words_until_somebody_has_looked(
    carl, person, policy, moderator, client
):
    talk(carl, "My secret", "Hm.", policy=policy)
    old = person("old")
    type(old).objects.filter(pk__in=[old.pk, moderator.pk]).update(date_joined=timezone.now() - timedelta(days=2))
    page = client.get("/moderation/people/?new=on").text
    assert ">carl</a>" in page
    assert ">old</a>" not in page
    assert "My secret" not in page
    client.post(f"/moderation/people/{carl.pk}/approve/", {"reason": "a course"})
    assert ">carl</a>" not in client.get("/moderation/people/?new=on").text
    assert ">carl</a>" in client.get("/moderation/people/?name=AR").text
    assert AuditEntry.objects.get(verb="user.approve").reason == "a course"


def test_the_lists_of_people_take_as_many_queries_for_many_as_for_few(person, policy, client):
    def queries(of):
        with CaptureQueriesContext(connection) as found:
            assert client.get(of).status_code == 200
        return len(found)

    made = [person("p0")]
    queries("/moderation/people/")
    few = queries("/moderation/people/"), queries(f"/moderation/people/{made[0].pk}/")
    for number in range(1, 15):
        made.append(person(f"p{number}"))
        message = talk(made[0], "Hm", "Hm.", policy=policy)[1]
        Report.objects.create(reporter=made[number], message=message)
        ModeratorNote.objects.create(account=made[0], author=made[number], text="x")
        GivenWarning.objects.create(person=made[0], given_by=made[number], text="x")
    assert (queries("/moderation/people/"), queries(f"/moderation/people/{made[0].pk}/")) == few


@pytest.mark.parametrize("role", [Role.CHATTER, Role.ANNOTATOR])
def test_others_do_not_see_the_pages(carl, person, signed_in, role):
    other = signed_in(person("other", role))
    for path in ("/moderation/people/", f"/moderation/people/{carl.pk}/", f"/moderation/people/{carl.pk}/warn/"):
        assert other.get(path).status_code == 403
