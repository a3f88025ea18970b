"""Which item comes before and after another one, for a moderator who goes from one to the next."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from feedback.moderation import report_queue, reviews
from feedback.moderation.items import ItemKey
from feedback.moderation.report_queue import Search
from feedback.moderation.reported_texts import ReportedText


@dataclass(frozen=True)
class Neighbours:
    previous: ItemKey | None
    next: ItemKey | None
    number: int
    """Place of the item in the list, from 1; 0 where it is not in it."""
    total: int


def list_of(item: ReportedText, search: Search) -> list[ItemKey]:
    """The list that the item is in: the blocked replies, if it is one that nobody reported, else the reports."""
    if item.blocked_by and not item.reports:
        return [ItemKey("message", pk) for pk in reviews.blocked().values_list("pk", flat=True)[:1000]]
    return [entry.key for entry in report_queue.entries(search)]


def around(key: ItemKey, keys: Sequence[ItemKey], held: Collection[ItemKey]) -> Neighbours:
    """`held`: items of other moderators, which are left out. The next one after the last is the first."""
    place = keys.index(key) if key in keys else -1
    before = [other for other in keys[: max(place, 0)] if other not in held]
    return Neighbours(before[-1] if before else None, following(key, keys, held), place + 1, len(keys))


def following(key: ItemKey, keys: Sequence[ItemKey], held: Collection[ItemKey]) -> ItemKey | None:
    """What to look at once this one is decided; None: nothing is left."""
    place = keys.index(key) if key in keys else -1
    ahead = [*keys[place + 1 :], *keys[: max(place, 0)]]
    return next((other for other in ahead if other != key and other not in held), None)
