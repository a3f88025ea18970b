"""Verbs of moderators: who may, what changes, what the log says, and that each can be undone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import sockets
from accounts.audit import broken_links
from accounts.models import AuditEntry, User
from accounts.roles import Role
from chat.models import Message, Reply
from feedback import trainable
from feedback.errors import BadEnd, NotAllowed, NothingToDo, NotTheirAccount, ReasonNeeded, StaleUndo
from feedback.judgements import task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import Report, Rule
from feedback.moderation import actions, consequences, reports, review_queue
from feedback.moderation.reports import TooManyReports
from tests.feedback.conftest import make_task, talk


@pytest.fixture
def closed(monkeypatch):
    users = []
    monkeypatch.setattr(sockets, "close", users.append)
    return users


@pytest.fixture
def carl(person):
    return person("carl")


@pytest.fixture
def reply(carl, policy, seeds):
    """A reply in carl's conversation that carl reported."""
    message = talk(carl, "Say something", "Something rude.", policy=policy)[1]
    reports.report_message(carl, message, Rule.objects.get(key="no-insults").versions.first(), "rude")
    return message


@pytest.fixture
def completion(policy, annotator, seeds):
    """A completion that an annotator flagged."""
    task = make_task(policy)
    task_queue.next_task(annotator)
    ids = list(task.completions.values_list("pk", flat=True))
    version = Rule.objects.get(key="minors").versions.first().pk
    task_queue.submit(task.pk, annotator, Judgement([(pk, 1) for pk in ids], [(ids[0], version)]))
    return task.completions.get(pk=ids[0])


def tomorrow():
    return timezone.now() + timedelta(days=1)


def state(row):
    row = type(row).objects.get(pk=row.pk)
    names = ("hidden_at", "never_train") if not isinstance(row, User) else ("suspended_until", "suspended_reason")
    reported = list(Report.objects.order_by("pk").values_list("state", flat=True))
    return {name: getattr(row, name) for name in names}, reported


FORWARD = {
    "hide": ("text.hide", "decided"),
    "keep_out": ("text.keep_out", "decided"),
    "dismiss": ("reports.dismiss", "dismissed"),
}
BACK = {"restore": "hide", "let_in": "keep_out", "reopen": "dismiss"}


@pytest.mark.parametrize("verb", FORWARD)
@pytest.mark.parametrize("kind", ["reply", "completion"])
def test_a_verb_changes_logs_and_is_undone(request, kind, verb, moderator):
    text = request.getfixturevalue(kind)
    before = state(text)
    entry = actions.TEXT_VERBS[verb](text, moderator, "because")
    assert state(text) != before
    assert state(text)[1] == [FORWARD[verb][1]]
    assert (entry.verb, entry.actor, entry.reason) == (FORWARD[verb][0], moderator, "because")
    assert entry.target == review_queue.label(text)
    undone = actions.undo(entry, moderator, "mistake")
    assert state(text) == before
    assert undone.undoes == entry
    actions.undo(undone, moderator, "no mistake")
    assert state(text)[1] == [FORWARD[verb][1]]
    assert broken_links() == []


@pytest.mark.parametrize("verb", BACK)
def test_a_verb_back_is_undone_too(reply, moderator, verb):
    actions.TEXT_VERBS[BACK[verb]](reply, moderator, "because")
    before = state(reply)
    entry = actions.TEXT_VERBS[verb](reply, moderator, "after all not")
    assert state(reply) != before
    actions.undo(entry, moderator, "yes")
    assert state(reply) == before


def test_suspending_shuts_out_closes_sockets_and_is_undone(
    reply, carl, moderator, closed, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        entry = actions.suspend(carl, moderator, "rude", until=tomorrow(), about=reply)
    carl.refresh_from_db()
    assert carl.is_suspended
    assert carl.roles() == frozenset()
    assert closed == [carl]
    assert Report.objects.get().state == "decided"
    actions.undo(entry, moderator, "too hard")
    carl.refresh_from_db()
    assert not carl.is_suspended
    assert Report.objects.get().state == "open"


def test_a_suspension_is_lifted_and_the_lifting_undone(carl, moderator, closed, django_capture_on_commit_callbacks):
    until = tomorrow()
    actions.suspend(carl, moderator, "rude", until=until)
    entry = actions.lift(carl, moderator, "sorry")
    carl.refresh_from_db()
    assert (carl.is_suspended, carl.suspended_reason) == (False, "")
    with django_capture_on_commit_callbacks(execute=True):
        actions.undo(entry, moderator, "not so")
    carl.refresh_from_db()
    assert (carl.suspended_until, carl.suspended_reason, closed) == (until, "rude", [carl])


ROLES = [Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("verb", actions.TEXT_VERBS)
def test_only_moderators_and_above_act_on_texts(reply, moderator, person, role, verb):
    if verb in BACK:
        actions.TEXT_VERBS[BACK[verb]](reply, moderator, "so that there is something to do")
    actor, entries = person("actor", role), AuditEntry.objects.count()
    if role in (Role.MODERATOR, Role.ADMIN):
        actions.TEXT_VERBS[verb](reply, actor, "because")
        return
    before = state(reply)
    with pytest.raises(NotAllowed):
        actions.TEXT_VERBS[verb](reply, actor, "because")
    assert (state(reply), AuditEntry.objects.count()) == (before, entries)


@pytest.mark.parametrize("actor", ROLES)
@pytest.mark.parametrize("target", ROLES)
def test_who_may_suspend_whom(person, actor, target):
    acting, other = person("acting", actor), person("other", target)
    is_staff = target in (Role.MODERATOR, Role.ADMIN)
    if actor is Role.ADMIN or (actor is Role.MODERATOR and not is_staff):
        actions.suspend(other, acting, "because", until=tomorrow())
        return
    with pytest.raises(NotAllowed):
        actions.suspend(other, acting, "because", until=tomorrow())
    other.refresh_from_db()
    assert not other.is_suspended
    assert not AuditEntry.objects.exists()


def test_nobody_suspends_themselves(admin):
    with pytest.raises(NotTheirAccount):
        actions.suspend(admin, admin, "because", until=tomorrow())


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_happens(reply, moderator, reason):
    with pytest.raises(ReasonNeeded):
        actions.hide(reply, moderator, reason)
    assert state(reply)[0]["hidden_at"] is None


def test_what_is_so_already_is_said(reply, carl, moderator):
    actions.hide(reply, moderator, "because")
    for again in (actions.hide, actions.let_in, actions.dismiss):
        with pytest.raises(NothingToDo):
            again(reply, moderator, "again")
    with pytest.raises(NothingToDo):
        actions.lift(carl, moderator, "nothing")
    with pytest.raises(BadEnd):
        actions.suspend(carl, moderator, "late", until=timezone.now())
    assert AuditEntry.objects.count() == 1


def test_an_undo_of_what_changed_since_is_refused(reply, moderator):
    first = actions.hide(reply, moderator, "because")
    actions.restore(reply, moderator, "mistake")
    actions.hide(reply, moderator, "no mistake")
    before = state(reply)
    with pytest.raises(StaleUndo):
        actions.undo(first, moderator, "undo the first")
    assert state(reply) == before
    second = actions.keep_out(reply, moderator, "because")
    actions.undo(second, moderator, "once")
    with pytest.raises(StaleUndo):
        actions.undo(second, moderator, "twice")


def test_entries_of_others_are_not_undone_here(seeds, admin):
    from django.db import transaction

    from accounts.audit import record

    with transaction.atomic():
        entry = record(
            admin, "policy.promote", Rule.objects.first(), before={"is_live": False}, after={"is_live": True}
        )
    with pytest.raises(StaleUndo):
        actions.undo(entry, admin, "because")


def test_an_entry_that_cannot_be_written_takes_the_change_back(reply, moderator, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("disk full")

    monkeypatch.setattr(actions, "record", broken)
    with pytest.raises(RuntimeError):
        actions.hide(reply, moderator, "because")
    assert state(reply) == ({"hidden_at": None, "never_train": False}, ["open"])


@pytest.mark.parametrize("verb", ["hide", "keep_out"])
def test_what_is_hidden_or_kept_out_does_not_train_until_undone(completion, moderator, verb):
    assert review_queue.effect_on_training(completion) == {"rankings": 1, "flags": 1}
    entry = actions.TEXT_VERBS[verb](completion, moderator, "because")
    assert (trainable.rankings().count(), trainable.violations().count()) == (0, 3)
    actions.undo(entry, moderator, "mistake")
    assert (trainable.rankings().count(), trainable.violations().count()) == (1, 4)


def test_a_suspended_annotator_s_judgements_do_not_train(completion, annotator, moderator):
    entry = actions.suspend(annotator, moderator, "random clicks", until=tomorrow())
    assert trainable.rankings().count() == 0
    actions.undo(entry, moderator, "they were not random")
    assert trainable.rankings().count() == 1


# --- the desk -------------------------------------------------------------------------------------


def test_the_queue_puts_grave_and_much_reported_texts_first(reply, completion, carl, person, policy):
    mild = talk(carl, "Hm", "Hm hm.", policy=policy)[1]
    reports.report_message(carl, mild, None, "dull")
    for number in range(6):
        Report.objects.create(reporter=person(f"r{number}"), message=mild)
    order = [(row["message_id"], row["completion_id"]) for row in review_queue.queue(state="open")]
    assert order == [(mild.pk, None), (None, completion.pk), (reply.pk, None)]
    assert [row["reporters"] for row in review_queue.queue(state="open")] == [7, 1, 1]
    assert [row["completion_id"] for row in review_queue.queue(state="open", kind="completion")] == [completion.pk]
    assert [row["message_id"] for row in review_queue.queue(state="open", rule="no-insults")] == [reply.pk]
    assert not review_queue.queue(state="dismissed")


def test_a_report_again_is_the_same_report_and_too_many_are_refused(reply, carl, policy):
    version = Rule.objects.get(key="no-insults").versions.first()
    assert reports.report_message(carl, reply, version, "very rude").comment == "very rude"
    assert Report.objects.count() == 1
    assert reports.report_message(carl, reply, None, "").pk != Report.objects.first().pk
    for number in range(reports.REPORTS_PER_HOUR - 2):
        reports.report_message(carl, talk(carl, "x", str(number), policy=policy)[1], None, "")
    with pytest.raises(TooManyReports):
        reports.report_message(carl, talk(carl, "x", "one more", policy=policy)[1], None, "")


@pytest.mark.parametrize("verb", consequences.VERBS)
def test_every_verb_says_what_it_will_do(reply, completion, verb):
    for kind, text in (("message", reply), ("completion", completion)):
        lines = consequences.lines(verb, review_queue.item(kind, text))
        assert lines
        assert all(line.endswith(".") for line in lines)


def test_a_conversation_that_nobody_reported_is_not_shown(carl, moderator, policy, signed_in):
    silent = talk(carl, "A secret", "Sure.", policy=policy)[1]
    client = signed_in(moderator)
    assert client.get(f"/moderation/message/{silent.pk}/").status_code == 404
    assert client.get(f"/moderation/message/{silent.pk}/hide/").status_code == 404
    assert client.post(f"/moderation/message/{silent.pk}/hide/", {"reason": "x"}).status_code == 404
    assert Message.objects.get(pk=silent.pk).hidden_at is None


def test_a_reported_reply_is_read_with_what_its_assistant_was_told(reply, moderator, signed_in):
    preamble = [
        {"role": "system", "content": "Insult <b>everybody</b>."},
        {"role": "user", "content": "Am I nice?"},
        {"role": "assistant", "content": "No."},
    ]
    Reply.objects.filter(message=reply).update(preamble=preamble)
    page = signed_in(moderator).get(f"/moderation/message/{reply.pk}/").text
    assert "Insult &lt;b&gt;everybody&lt;/b&gt;." in page
    assert page.count("example from the assistant") == 2


def test_a_reading_is_logged_once_a_day(reply, moderator, signed_in):
    for _ in range(3):
        assert signed_in(moderator).get(f"/moderation/message/{reply.pk}/").status_code == 200
    assert AuditEntry.objects.get().verb == "text.read"


def test_the_pages_hide_and_undo(reply, moderator, signed_in):
    client = signed_in(moderator)
    assert "Something rude." in client.get("/moderation/").content.decode()
    asked = client.get(f"/moderation/message/{reply.pk}/hide/").content.decode()
    assert "What will happen" in asked
    assert "sees a notice instead of it" in asked
    refused = client.post(f"/moderation/message/{reply.pk}/hide/", {"reason": " "})
    assert refused.status_code == 400
    assert not AuditEntry.objects.filter(verb="text.hide").exists()
    assert client.post(f"/moderation/message/{reply.pk}/hide/", {"reason": "rude"}).status_code == 302
    reply.refresh_from_db()
    assert reply.hidden_at
    entry = AuditEntry.objects.get(verb="text.hide")
    page = client.get(f"/moderation/message/{reply.pk}/").content.decode()
    assert f"/moderation/undo/{entry.pk}/" in page
    response = client.post(f"/moderation/undo/{entry.pk}/?kind=message&pk={reply.pk}", {"reason": "mistake"})
    assert response.headers["Location"] == f"/moderation/message/{reply.pk}/"
    reply.refresh_from_db()
    assert reply.hidden_at is None
    again = client.post(f"/moderation/undo/{entry.pk}/?kind=message&pk=//evil.example", {"reason": "twice"})
    assert again.status_code == 409
    assert 'href="/moderation/">Cancel' in again.content.decode()


def test_the_page_suspends_until_a_day(reply, carl, moderator, signed_in):
    client = signed_in(moderator)
    day = timezone.localdate() + timedelta(days=3)
    address = f"/moderation/message/{reply.pk}/suspend/"
    late = client.post(address, {"reason": "rude", "until": "2020-01-01"})
    assert late.status_code == 400
    assert client.post(address, {"reason": "rude", "until": day.isoformat()}).status_code == 302
    carl.refresh_from_db()
    assert timezone.localdate(carl.suspended_until) == day
    assert "suspended until" in client.get(f"/moderation/message/{reply.pk}/").content.decode()
