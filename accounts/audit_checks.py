"""Verifies the audit log: entries changed, missing, reordered, added or cut off outside of `audit.record`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit_heads
from accounts.audit_seals import is_sealed, is_signed, sign
from accounts.models import AuditCheck, AuditEntry

MOST_FAULTS = 50
"""Told of one check: a log that was rewritten whole would fill the page."""
MOST_AT_ONCE = 2_000
"""Entries that a view of the page verifies at most."""
TEXTS = {
    "changed": _("Entry %(sequence)s was changed or added outside of the site: its seal does not match."),
    "missing": _("Entries before entry %(sequence)s are missing."),
    "reordered": _("Entry %(sequence)s does not follow the one before it: entries were exchanged or replaced."),
    "rewritten": _("Entry %(sequence)s is another one than the site wrote: the log was rewritten."),
    "cut": _("The log once reached entry %(sequence)s, which is missing: its end was removed."),
}


@dataclass(frozen=True)
class Fault:
    kind: str
    """A key of TEXTS."""
    sequence: int

    def __str__(self) -> str:
        return str(TEXTS[self.kind] % {"sequence": self.sequence})


@dataclass(frozen=True)
class Anchor:
    """Up to where the log was verified: an entry's number and seal."""

    sequence: int = 0
    seal: str = ""


@dataclass
class Verification:
    faults: list[Fault] = field(default_factory=list)
    end: Anchor = Anchor()
    entries: int = 0
    is_whole: bool = True
    """False where a view left the rest to the next check of the whole log."""
    places: dict[str, int] = field(default_factory=dict)
    """The newest entry that each place of heads knows; 0: none."""


def verify(after: Anchor = Anchor(), *, limit: int | None = None) -> Verification:
    """Walks the entries after the anchor, and holds them against the heads outside of the database."""
    heads = _heads_after(after)
    result = Verification(end=after, places={str(place): max(known, default=0) for place, known in heads.items()})
    claims = list(heads.values())
    entries = AuditEntry.objects.filter(sequence__gt=after.sequence).order_by("sequence")
    for entry in _limited(entries, limit):
        result.faults += _faults_of(entry, result.end, claims)
        result.end = Anchor(entry.sequence, entry.hash)
        result.entries += 1
    result.is_whole = limit is None or result.entries < limit
    if result.is_whole:
        result.faults += _cut(result.end, claims)
    result.faults = result.faults[:MOST_FAULTS]
    return result


def _heads_after(after: Anchor) -> dict[Path, dict[int, str]]:
    is_partial = after.sequence > 0
    return {place: audit_heads.read(place, tail=is_partial) for place in audit_heads.places()}


def _limited(entries: QuerySet[AuditEntry], limit: int | None) -> Iterator[AuditEntry]:
    return iter(entries[:limit]) if limit else entries.iterator()


def _faults_of(entry: AuditEntry, before: Anchor, claims: Sequence[dict[int, str]]) -> Iterator[Fault]:
    if entry.sequence != before.sequence + 1:
        yield Fault("missing", entry.sequence)
    elif entry.previous_hash != before.seal:
        yield Fault("reordered", entry.sequence)
    if not is_sealed(entry):
        yield Fault("changed", entry.sequence)
    elif any(known.get(entry.sequence, entry.hash) != entry.hash for known in claims):
        yield Fault("rewritten", entry.sequence)


def _cut(end: Anchor, claims: Sequence[dict[int, str]]) -> Iterator[Fault]:
    furthest = max((max(known, default=0) for known in claims), default=0)
    if furthest > end.sequence:
        yield Fault("cut", furthest)


def changed_among(entries: Sequence[AuditEntry]) -> list[Fault]:
    """Of entries that are being shown, whenever they were written: those that were changed."""
    return [Fault("changed", entry.sequence) for entry in entries if not is_sealed(entry)]


def check_whole() -> Verification:
    """Verifies the whole log, and remembers, signed, how far it was sound."""
    result = verify()
    check = AuditCheck(pk=1, at=timezone.now(), sequence=result.end.sequence, seal=result.end.seal)
    check.faults = [[fault.kind, fault.sequence] for fault in result.faults]
    check.signature = sign(_claims_of(check))
    check.save()
    return result


def last_whole_check() -> AuditCheck | None:
    """None where there was none, or where somebody else wrote the row."""
    check = AuditCheck.objects.first()
    return check if check and is_signed(_claims_of(check), check.signature) else None


def verify_newest(check: AuditCheck | None) -> Verification:
    """What the whole check found, and what came since: as much work as there are new entries."""
    if check is None:
        return verify(limit=MOST_AT_ONCE)
    result = verify(Anchor(check.sequence, check.seal), limit=MOST_AT_ONCE)
    result.faults = [*(Fault(kind, sequence) for kind, sequence in check.faults), *result.faults]
    if check.sequence and not AuditEntry.objects.filter(sequence=check.sequence, hash=check.seal).exists():
        result.faults.append(Fault("cut", check.sequence))
    return result


def _claims_of(check: AuditCheck) -> list[object]:
    return [check.at.isoformat(), check.sequence, check.seal, check.faults]
