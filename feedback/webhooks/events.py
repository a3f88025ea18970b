"""The events that webhooks tell of, and storing them for delivery in the transaction of what happened.

The data of an event are ids, choices and pseudonyms: no text that a person wrote, and no name.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEntry, User
from feedback.models import Project, Ranking, Thumb, Violation, Webhook, WebhookDelivery
from feedback.pseudonyms import own_pseudonym

THUMB, RANKING, FLAG = "thumb.given", "ranking.submitted", "flag.made"
DECISION, PROJECT_FINISHED, PROMOTION = "moderation.decided", "project.finished", "policy.promoted"
TEST = "webhook.test"
EVENTS: Mapping[str, Promise] = {
    THUMB: _("A person gave a thumb"),
    RANKING: _("An annotator submitted a ranking"),
    FLAG: _("Somebody flagged a reply"),
    DECISION: _("A moderator decided"),
    PROJECT_FINISHED: _("A project has all judgements"),
    PROMOTION: _("A policy was promoted or rolled back"),
}


def _emit(event: str, data: Callable[[], Mapping[str, Any]]) -> int:
    """Stores a delivery for each webhook that wants the event; how many. Call it in the transaction of the act, so
    that neither is stored without the other. `data` is asked for where somebody wants it."""
    wanting = [one for one in Webhook.objects.filter(is_on=True) if event in one.events]
    if wanting:
        _store(wanting, event, data())
    return len(wanting)


def _store(webhooks: Collection[Webhook], event: str, data: Mapping[str, Any]) -> list[WebhookDelivery]:
    """The body is made once, so that each attempt sends the same bytes."""
    now = timezone.now()
    body = json.dumps({"type": event, "timestamp": now.isoformat(), "data": dict(data)}, ensure_ascii=False)
    rows = [
        WebhookDelivery(webhook=one, key=f"msg_{secrets.token_hex(12)}", event=event, body=body, next_at=now)
        for one in webhooks
    ]
    return WebhookDelivery.objects.bulk_create(rows)


def thumb_given(thumb: Thumb) -> None:
    _emit(
        THUMB,
        lambda: {
            "message": thumb.message_id,
            "is_up": thumb.is_up,
            "reasons": thumb.reasons,
            "policy": _policy_of(thumb),
            "person": own_pseudonym(thumb.person_id),
        },
    )


def ranking_submitted(made: Ranking, flags: Collection[tuple[int, str]]) -> None:
    """`flags`: completions and keys of rules that the annotator found broken."""
    common = {"task": made.task_id, "project": made.task.project.key, "person": own_pseudonym(made.annotator_id)}
    _emit(RANKING, lambda: common | _of_ranking(made))
    for completion, rule in flags:
        _emit(FLAG, partial(dict, common, completion=completion, rule=rule))


def _of_ranking(made: Ranking) -> dict[str, Any]:
    return {
        "ranking": made.pk,
        "ranks": made.ranks,
        "seconds": round(made.seconds, 1),
        "policy": made.task.policy.name if made.task.policy is not None else "",
        "guidelines_version": made.guidelines_version,
    }


def message_flagged(flag: Violation) -> None:
    _emit(
        FLAG,
        lambda: {
            "message": flag.message_id,
            "rule": flag.rule_version.rule.key,
            "person": own_pseudonym(flag.annotator_id),
        },
    )


def decided(entry: AuditEntry, actor: User) -> None:
    """Without the reason, in which a moderator may have quoted or named somebody."""
    label, _colon, key = entry.target.partition(":")
    about = {"person": own_pseudonym(int(key))} if label == "accounts.user" else {"target": entry.target}
    _emit(DECISION, lambda: {"act": entry.verb, **about, "entry": entry.pk, "moderator": own_pseudonym(actor.pk)})


def project_finished(project: Project) -> None:
    _emit(PROJECT_FINISHED, lambda: {"project": project.key, "title": project.title})


def policy_promoted(name: str, former: str | None, kind: str) -> None:
    _emit(PROMOTION, lambda: {"policy": name, "former": former, "kind": kind})


def test(webhook: Webhook) -> WebhookDelivery:
    with transaction.atomic():
        return _store([webhook], TEST, {"webhook": webhook.name})[0]


def _policy_of(thumb: Thumb) -> str:
    reply = thumb.message.reply_or_none
    return reply.policy.name if reply is not None and reply.policy is not None else ""
