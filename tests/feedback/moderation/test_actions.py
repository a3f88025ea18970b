"""Verbs of moderators: who may, what changes, what the log says, and that each can be undone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import sockets
from accounts.models import AuditEntry, User
from accounts.roles import Role
from feedback import trainable
from feedback.errors import AimsAtReporter, BadEnd, NotAllowed, NothingToDo, NotTheirAccount, ReasonNeeded, StaleUndo
from feedback.models import Report, Rule
from feedback.moderation import actions, consequences, reported_texts, reports
from tests.accounts.audit_faults import faults


@pytest.fixture
def closed(monkeypatch):
    users = []
    monkeypatch.setattr(sockets, "close", users.append)
    return users


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
    assert entry.target == reported_texts.label(text)
    undone = actions.undo(entry, moderator, "mistake")
    assert state(text) == before
    assert undone.undoes == entry
    actions.undo(undone, moderator, "no mistake")
    assert state(text)[1] == [FORWARD[verb][1]]
    assert faults() == []


@pytest.mark.parametrize("verb", BACK)
def test_a_verb_back_is_undone_too(reply, moderator, verb):
    actions.TEXT_VERBS[BACK[verb]](reply, moderator, "because")
    before = state(reply)
    entry = actions.TEXT_VERBS[verb](reply, moderator, "after all not")
    assert state(reply) != before
    actions.undo(entry, moderator, "yes")
    assert state(reply) == before


def test_suspending_shuts_out_closes_sockets_and_is_undone(
    reply, carl, person, moderator, closed, django_capture_on_commit_callbacks
):
    Report.objects.update(reporter=person("eve"))
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


def test_a_suspension_never_aims_at_who_reported_the_text(reply, carl, person, moderator):
    with pytest.raises(AimsAtReporter):
        actions.suspend(carl, moderator, "rude", until=tomorrow(), about=reply)
    carl.refresh_from_db()
    assert not carl.is_suspended
    assert Report.objects.get().state == "open"
    item = reported_texts.item(reply)
    assert "suspend" not in {verb.name for verb in consequences.offered(item, moderator)}
    Report.objects.update(reporter=person("eve"))
    item = reported_texts.item(reply)
    assert "suspend" in {verb.name for verb in consequences.offered(item, moderator)}


def test_what_its_maker_took_back_is_not_reopened(reply, carl, moderator):
    reports.take_back_flag(carl, reply, Report.objects.get().rule_version_id)
    with pytest.raises(NothingToDo):
        actions.TEXT_VERBS["reopen"](reply, moderator, "after all")
    assert "reopen" not in {verb.name for verb in consequences.offered(reported_texts.item(reply), moderator)}


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
    assert reported_texts.effect_on_training(completion) == {"rankings": 1, "flags": 1}
    entry = actions.TEXT_VERBS[verb](completion, moderator, "because")
    assert (trainable.rankings().count(), trainable.violations().count()) == (0, 3)
    actions.undo(entry, moderator, "mistake")
    assert (trainable.rankings().count(), trainable.violations().count()) == (1, 4)


def test_a_suspended_annotator_s_judgements_do_not_train(completion, annotator, moderator):
    entry = actions.suspend(annotator, moderator, "random clicks", until=tomorrow())
    assert trainable.rankings().count() == 0
    actions.undo(entry, moderator, "they were not random")
    assert trainable.rankings().count() == 1
