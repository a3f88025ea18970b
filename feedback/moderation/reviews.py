"""What moderators look at though nobody reported it: replies that a guard blocked, and new accounts."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from accounts.roles import Role
from chat.models import Message, Reply
from feedback.errors import NotAllowed, NothingToDo
from feedback.models import Review

NEW_FOR = timedelta(days=1)
"""How long an account is new, as for Discourse's first posts; ours are listed with numbers, since nobody but their
owner reads conversations that nobody reported."""


def blocked(*, rule: str = "", reviewed: bool = False) -> QuerySet[Message]:
    """Replies that a guard ended and nobody has hidden, the newest first: those to look at, or those looked at. Not
    of conversations that their owners deleted or keep temporary."""
    found = Message.objects.filter(
        reply__state=Reply.State.BLOCKED,
        review__isnull=not reviewed,
        hidden_at=None,
        conversation__deleted_at=None,
        conversation__expires_at=None,
    )
    if rule:
        found = found.filter(reply__blocked_by=rule)
    return found.select_related("reply", "conversation__owner", "review").order_by("-id")


def verdicts_of_guards() -> dict[str, dict[str, int]]:
    """How many blocks by each rule or guard moderators found right and wrong, by its key."""
    rows = Review.objects.filter(message__isnull=False).order_by().values_list("message__reply__blocked_by")
    right, wrong = Q(outcome=Review.Outcome.RIGHT), Q(outcome=Review.Outcome.WRONG)
    counted = rows.annotate(right=Count("pk", filter=right), wrong=Count("pk", filter=wrong))
    return {key: {"right": yes, "wrong": no} for key, yes, no in counted.order_by("message__reply__blocked_by")}


def new_accounts() -> QuerySet[User]:
    """Active people who joined within NEW_FOR and whom no moderator has looked at, the newest first."""
    since = timezone.now() - NEW_FOR
    people = User.objects.filter(is_active=True, is_simulated=False, erased_at=None, review__isnull=True)
    return people.filter(date_joined__gte=since).order_by("-date_joined", "-pk")


@transaction.atomic
def judge_block(text: Message, moderator: User, outcome: Review.Outcome, reason: str) -> Review:
    """Stores whether the guard was right; a later judgement replaces it. Raises NothingToDo, NotAllowed."""
    reply = text.reply_or_none
    if reply is None or reply.state != Reply.State.BLOCKED:
        raise NothingToDo
    return _store({"message": text}, text, moderator, outcome, "block.review", reason)


@transaction.atomic
def approve(account: User, moderator: User, reason: str = "") -> Review:
    """Takes the account off the list of new ones. Raises NothingToDo, NotAllowed."""
    return _store({"account": account}, account, moderator, Review.Outcome.FINE, "user.approve", reason)


def _store(
    of: dict[str, Any], target: Message | User, moderator: User, outcome: Review.Outcome, verb: str, reason: str
) -> Review:
    if not moderator.has_role(Role.MODERATOR):
        raise NotAllowed
    former = Review.objects.select_for_update().filter(**of).first()
    if former is not None and former.outcome == outcome:
        raise NothingToDo
    values = {"outcome": outcome, "moderator": moderator, "at": timezone.now()}
    review, _is_new = Review.objects.update_or_create(**of, defaults=values)
    before = {"outcome": former.outcome} if former else {}
    record(moderator, verb, target, reason=reason, before=before, after={"outcome": outcome.value})
    return review
