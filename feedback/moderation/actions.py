"""Acts of moderators on texts and people: each changes rows with its audit entry, and can be undone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts import sockets
from accounts.audit import record
from accounts.models import AuditEntry, User
from accounts.roles import Role
from chat.models import Message
from feedback.errors import (
    AimsAtReporter,
    BadEnd,
    NotAllowed,
    NothingToDo,
    NotTheirAccount,
    ReasonNeeded,
    StaleUndo,
)
from feedback.models import Completion, Report
from feedback.moderation import decision_notices
from feedback.moderation.items import Text, key_of
from feedback.webhooks import events

CLOSING = {"text.hide", "text.keep_out", "user.suspend"}
"""Verbs that decide the open reports of the text they come from."""


# --- verbs ----------------------------------------------------------------------------------------


def hide(text: Text, actor: User, reason: str) -> AuditEntry:
    """Only moderators see the text from now on, and it leaves the training data."""
    return _act("text.hide", text, {"hidden_at": timezone.now()}, actor, reason, about=text, unless=_is_hidden)


def restore(text: Text, actor: User, reason: str) -> AuditEntry:
    return _act("text.restore", text, {"hidden_at": None}, actor, reason)


def keep_out(text: Text, actor: User, reason: str) -> AuditEntry:
    """The text stays visible but leaves the training data."""
    return _act("text.keep_out", text, {"never_train": True}, actor, reason, about=text)


def let_in(text: Text, actor: User, reason: str) -> AuditEntry:
    return _act("text.let_in", text, {"never_train": False}, actor, reason)


def suspend(user: User, actor: User, reason: str, *, until: datetime, about: Text | None = None) -> AuditEntry:
    """Signs the person out and locks them out until then; meanwhile their judgements leave the training data.

    Raises AimsAtReporter where the person reported the text that it is about: the report is no reason against them.
    """
    if about is not None and Report.objects.filter(reporter=user, **_report_lookup(about)).exists():
        raise AimsAtReporter(user.username)
    if until <= timezone.now():
        raise BadEnd
    changes = {"suspended_until": until, "suspended_reason": reason[:500]}
    return _act("user.suspend", user, changes, actor, reason, about=about)


def lift(user: User, actor: User, reason: str) -> AuditEntry:
    return _act("user.lift", user, {"suspended_until": None, "suspended_reason": ""}, actor, reason)


def dismiss(text: Text, actor: User, reason: str) -> AuditEntry:
    """Closes its open reports without a change."""
    return _act("reports.dismiss", text, {}, actor, reason, about=text)


def _reopen(text: Text, actor: User, reason: str) -> AuditEntry:
    return _act("reports.reopen", text, {}, actor, reason, about=text)


TEXT_VERBS = {
    "hide": hide,
    "restore": restore,
    "keep_out": keep_out,
    "let_in": let_in,
    "dismiss": dismiss,
    "reopen": _reopen,
}


@transaction.atomic
def undo(entry: AuditEntry, actor: User, reason: str) -> AuditEntry:
    """Restores what an entry changed. Raises StaleUndo if it has changed again since."""
    target = _target_of(entry)
    _check(target, actor, reason)
    if AuditEntry.objects.filter(undoes=entry).exists():
        raise StaleUndo
    locked = _lock(target)
    before, after = dict(entry.before), dict(entry.after)
    reports_before, reports_after = before.pop("reports", {}), after.pop("reports", {})
    if _snapshot(locked, after) != after or _report_states(reports_after) != reports_after:
        raise StaleUndo
    _write(locked, before)
    for pk, state in reports_before.items():
        _close(Report.objects.filter(pk=pk), state)
    undone = record(
        actor, "moderation.undo", locked, reason=reason, before=entry.after, after=entry.before, undoes=entry
    )
    events.decided(undone, actor)
    return undone


def can_undo(entry: AuditEntry) -> bool:
    return is_moderation(entry) and not entry.undone_by.exists()


def is_moderation(entry: AuditEntry) -> bool:
    """Whether a verb of this module made the entry: its target and fields are those that the verbs change."""
    changed = {*entry.before, *entry.after}
    return bool(changed) and changed <= FIELDS and entry.target.partition(":")[0] in LABELS


FIELDS = {"hidden_at", "never_train", "suspended_until", "suspended_reason", "reports"}
LABELS = {model._meta.label_lower: model for model in (Message, Completion, User)}

# --- common steps --------------------------------------------------------------------------------------------


def _is_hidden(target: models.Model) -> bool:
    return getattr(target, "hidden_at", None) is not None


@transaction.atomic
def _act(
    verb: str,
    target: Text | User,
    changes: Mapping[str, Any],
    actor: User,
    reason: str,
    *,
    about: Text | None = None,
    unless: Any = None,
) -> AuditEntry:
    _check(target, actor, reason)
    locked = _lock(target)
    if unless is not None and unless(locked):
        raise NothingToDo
    before: dict[str, Any] = _snapshot(locked, changes)
    after: dict[str, Any] = {name: _as_json(value) for name, value in changes.items()}
    state = _new_state(verb)
    changed = _reports_to_change(about, state) if about is not None else Report.objects.none()
    states = {str(report.pk): report.state for report in changed}
    if before == after and not states:
        raise NothingToDo
    _write(locked, after)
    if states:
        _close(Report.objects.filter(pk__in=states), state)
        before, after = {**before, "reports": states}, {**after, "reports": dict.fromkeys(states, state)}
    entry = record(actor, verb, locked, reason=reason, before=before, after=after)
    events.decided(entry, actor)
    if states and state != Report.State.OPEN:
        decision_notices.send(entry, Report.objects.filter(pk__in=states))
    return entry


def _check(target: models.Model, actor: User, reason: str) -> None:
    if not reason.strip():
        raise ReasonNeeded
    if not actor.has_role(Role.MODERATOR):
        raise NotAllowed
    if isinstance(target, User) and not may_suspend(actor, target):
        raise NotTheirAccount


def may_suspend(actor: User, target: User) -> bool:
    """Nobody suspends themselves, and only admins suspend moderators and admins, so that an admin is always left."""
    if actor.pk == target.pk:
        return False
    names = set(target.groups.values_list("name", flat=True))
    is_staff = target.is_superuser or bool(names & {Role.MODERATOR.value, Role.ADMIN.value})
    return actor.has_role(Role.ADMIN) if is_staff else actor.has_role(Role.MODERATOR)


def _new_state(verb: str) -> str:
    if verb in CLOSING:
        return Report.State.DECIDED
    return Report.State.OPEN if verb == "reports.reopen" else Report.State.DISMISSED


def _reports_to_change(text: Text, state: str) -> models.QuerySet[Report]:
    """The reports that a verb changes to this state: the open ones; those that moderators closed if it opens them."""
    reports = Report.objects.filter(**_report_lookup(text))
    if state == Report.State.OPEN:
        return reports.filter(state__in=(Report.State.DECIDED, Report.State.DISMISSED))
    return reports.filter(state=Report.State.OPEN)


def _report_lookup(text: Text) -> dict[str, Any]:
    return key_of(text).lookup


def _close(reports: models.QuerySet[Report], state: str) -> None:
    reports.update(state=state, closed_at=None if state == Report.State.OPEN else timezone.now())


def _report_states(expected: Mapping[str, str]) -> dict[str, str]:
    found = Report.objects.filter(pk__in=expected).values_list("pk", "state")
    return {str(pk): state for pk, state in found}


def _lock(target: models.Model) -> models.Model:
    return type(target)._default_manager.select_for_update().get(pk=target.pk)


def _target_of(entry: AuditEntry) -> models.Model:
    label, _colon, pk = entry.target.partition(":")
    model = LABELS.get(label)
    if model is None or not can_undo(entry):
        raise StaleUndo
    return model._default_manager.get(pk=pk)


def _snapshot(target: models.Model, names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_json(getattr(target, name)) for name in names}


def _write(target: models.Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(target, name, parse_datetime(value) if value and name in DATES else value)
    if values:
        target.save(update_fields=list(values))
    if isinstance(target, User) and target.is_suspended:
        transaction.on_commit(lambda: sockets.close(target))


DATES = {"hidden_at", "suspended_until"}


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
