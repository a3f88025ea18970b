"""One verb for several items, with one reason: item by item, so that what is refused does not undo the rest."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from accounts.models import AuditEntry, User
from feedback.errors import ModerationError
from feedback.moderation import actions, claims, consequences, reported_texts
from feedback.moderation.items import ItemKey

MOST = 100


@dataclass(frozen=True)
class Failed:
    key: ItemKey
    error: ModerationError | None
    """None: there is no such item any more."""


@dataclass
class BulkOutcome:
    done: list[tuple[ItemKey, AuditEntry]] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def carry_out(verb: str, keys: Iterable[ItemKey], actor: User, reason: str) -> BulkOutcome:
    """Each item in a transaction of its own with its audit entry; what was refused is told with why."""
    if verb not in consequences.IN_BULK:
        raise ValueError(f"{verb} is not for several items")
    outcome = BulkOutcome()
    for key in dict.fromkeys(keys):
        text = reported_texts.reviewable(key.kind, key.pk)
        if text is None:
            outcome.failed.append(Failed(key, None))
            continue
        try:
            outcome.done.append((key, actions.TEXT_VERBS[verb](text, actor, reason)))
        except ModerationError as error:
            outcome.failed.append(Failed(key, error))
        else:
            claims.release(key, actor)
    return outcome
