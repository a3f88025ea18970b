"""The moderators' queue: reported texts by priority, searched by person, rule, date and state."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils import timezone

from feedback import rules
from feedback.models import Claim, Report, Rule
from feedback.moderation import priority, records
from feedback.moderation.items import MODELS, ItemKey, Text, from_columns
from feedback.moderation.priority import Priority, Record

MOST_CLOSED = 1000
"""Of those that are decided already, the newest; a search finds older ones."""
OPEN = Report.State.OPEN
AUTHOR = "message__conversation__owner__username", "completion__task__prompt__message__conversation__owner__username"


@dataclass(frozen=True)
class Search:
    """What a moderator looks for; an empty field means all."""

    state: str = OPEN
    kind: str = ""
    rule: str = ""
    person: str = ""
    """Part of the name of who reported it, or of who had the conversation."""
    since: datetime | None = None
    before: datetime | None = None

    def reports(self) -> QuerySet[Report]:
        found = Report.objects.filter(state=self.state)
        if self.kind:
            found = found.filter(**{f"{self.kind}__isnull": False})
        if self.rule:
            found = found.filter(rule_version__rule__key=self.rule)
        if self.person:
            found = found.filter(self._by_person())
        if self.since:
            found = found.filter(created_at__gte=self.since)
        return found.filter(created_at__lt=self.before) if self.before else found

    def _by_person(self) -> Q:
        named = Q(reporter__username__icontains=self.person)
        for column in AUTHOR:
            named |= Q(**{f"{column}__icontains": self.person})
        return named


@dataclass(frozen=True)
class QueueEntry:
    """A reported text in the queue."""

    key: ItemKey
    reporters: int
    oldest: datetime
    priority: Priority | None = None
    """None where it is decided already."""


def entries(search: Search) -> list[QueueEntry]:
    """Those that wait, the most urgent first; those that are decided, the newest decision first. At most three
    queries."""
    return _waiting(search) if search.state == OPEN else _closed(search)


def count_open() -> int:
    return Report.objects.filter(state=OPEN).order_by().values("message", "completion").distinct().count()


@dataclass
class _Gathered:
    reporters: set[int] = field(default_factory=set)
    rules: set[int | None] = field(default_factory=set)
    oldest: datetime | None = None


def _waiting(search: Search) -> list[QueueEntry]:
    columns = ("message_id", "completion_id", "reporter_id", "rule_version__rule_id", "created_at")
    gathered: dict[ItemKey, _Gathered] = defaultdict(_Gathered)
    for message, completion, reporter, rule, at in search.reports().order_by("created_at").values_list(*columns):
        item = gathered[from_columns(message, completion)]
        item.reporters.add(reporter)
        item.rules.add(rule)
        item.oldest = item.oldest or at
    known = records.of({reporter for item in gathered.values() for reporter in item.reporters})
    severities = {rule.pk: rules.severity(rule) for rule in Rule.objects.all()}
    now = timezone.now()  # one moment for all, else who is counted later has waited longer
    found = [_entry(key, item, known, severities, now) for key, item in gathered.items()]
    return sorted(found, key=_most_urgent_first)


def _entry(
    key: ItemKey, item: _Gathered, known: Mapping[int, Record], severities: Mapping[int, int], now: datetime
) -> QueueEntry:
    oldest = item.oldest or now
    gravest = max(severities.get(rule, 1) if rule is not None else 1 for rule in item.rules)
    of_reporters = [known.get(reporter, Record()) for reporter in item.reporters]
    return QueueEntry(key, len(item.reporters), oldest, priority.of(gravest, of_reporters, now - oldest))


def _most_urgent_first(entry: QueueEntry) -> tuple[float, datetime, ItemKey]:
    return (-entry.priority.total if entry.priority else 0.0, entry.oldest, entry.key)


def _closed(search: Search) -> list[QueueEntry]:
    found = (
        search.reports()
        .order_by()
        .values_list("message_id", "completion_id")
        .annotate(reporters=Count("reporter", distinct=True), oldest=Min("created_at"), closed=Max("closed_at"))
        .order_by("-closed")[:MOST_CLOSED]
    )
    return [QueueEntry(from_columns(message, completion), n, oldest) for message, completion, n, oldest, _at in found]


# --- a page of it -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QueueRow:
    """One row of the queue's page."""

    entry: QueueEntry
    text: Text
    names: list[str]
    """Names of the rules that it is reported to break."""
    claim: Claim | None
    """Of another moderator."""


def rows(page: Sequence[QueueEntry], *, state: str, held: Mapping[ItemKey, Claim]) -> list[QueueRow]:
    """The rows of a page of the queue; takes three more queries, however many there are."""
    texts = _texts_of([entry.key for entry in page])
    names = _names_of(texts, state)
    shown = [entry for entry in page if entry.key in texts]
    return [QueueRow(entry, texts[entry.key], names.get(entry.key, []), held.get(entry.key)) for entry in shown]


def _texts_of(keys: Sequence[ItemKey]) -> dict[ItemKey, Text]:
    texts: dict[ItemKey, Text] = {}
    for kind, model in MODELS.items():
        found: Any = model._default_manager.filter(pk__in=[key.pk for key in keys if key.kind == kind])
        texts.update({ItemKey(kind, text.pk): text for text in found})
    return texts


def _names_of(texts: Mapping[ItemKey, Text], state: str) -> dict[ItemKey, list[str]]:
    ids = {kind: [key.pk for key in texts if key.kind == kind] for kind in MODELS}
    reported = Q(message__in=ids["message"]) | Q(completion__in=ids["completion"])
    found = Report.objects.filter(reported, state=state, rule_version__isnull=False)
    names: dict[ItemKey, list[str]] = defaultdict(list)
    for report in found.select_related("rule_version__rule").order_by("rule_version__rule__position"):
        of_item = names[from_columns(report.message_id, report.completion_id)]
        if report.rule_version and report.rule_version.name not in of_item:
            of_item.append(report.rule_version.name)
    return names
