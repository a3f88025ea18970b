"""Guidelines for annotators: the version in force, editing, history, and whether an annotator knows of a change."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction
from django.db.models import F, Q

from accounts.audit import record
from accounts.models import User
from feedback.models import Guidelines, JudgingChoices, Project

SEED = Path(__file__).parent / "seed"
FIRST = 1
"""The number of the text that comes along, which is stored when it is first edited."""
TEXTS = ("text_en", "text_ko")


class StaleGuidelines(Exception):
    """Somebody else changed them in the meantime; `newest` is the number that is in force."""

    code = "stale_guidelines"

    def __init__(self, newest: int) -> None:
        self.newest = newest
        super().__init__(f"version {newest} is in force")


@dataclass(frozen=True)
class Line:
    """One line of a comparison of two texts."""

    kind: str
    """added, removed, kept, or gap where lines that did not change are left out."""
    text: str


def current(project: Project | None = None) -> Guidelines:
    """That of the project, else of the site, else the text that came along (not stored)."""
    own = Q(project__isnull=True) | Q(project=project)
    newest = Guidelines.objects.filter(own).order_by(F("project").desc(nulls_last=True), "-number").first()
    return newest or _shipped()


@transaction.atomic
def edit(text_en: str, text_ko: str, *, actor: User, based_on: int, project: Project | None = None) -> Guidelines:
    """Adds a version, unless nothing changed; judgements still refer to the version they were made under. Raises
    StaleGuidelines when version `based_on` is no longer in force."""
    if not Guidelines.objects.exists():
        Guidelines.objects.bulk_create([_shipped()], ignore_conflicts=True)
    numbers = list(Guidelines.objects.select_for_update().order_by("number").values_list("number", flat=True))
    before = current(project)
    if before.number != based_on:
        raise StaleGuidelines(before.number)
    after = {"text_en": text_en, "text_ko": text_ko}
    if before.project == project and all(getattr(before, name) == after[name] for name in TEXTS):
        return before
    made = Guidelines.objects.create(number=numbers[-1] + 1, project=project, created_by=actor, **after)
    changed = [name for name in TEXTS if getattr(before, name) != after[name]]
    record(
        actor,
        "guidelines.edit",
        made,
        before={"version": before.number, **{name: getattr(before, name) for name in changed}},
        after={"version": made.number, **{name: after[name] for name in changed}},
    )
    return made


def history(project: Project | None = None) -> list[Guidelines]:
    """All versions, newest first; the text that came along if nobody edited it."""
    return list(Guidelines.objects.filter(project=project).select_related("created_by")) or [_shipped()]


def difference(before: str, after: str) -> list[Line]:
    """Line by line, with two lines around each change."""
    rows = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return list(_lines(list(rows)[2:]))


def is_news(annotator: User, number: int) -> bool:
    """Whether this version is newer than the one that the annotator knows. True once: from then on they know it.
    Before their first task nothing is news."""
    known, is_new = JudgingChoices.objects.get_or_create(annotator=annotator, defaults={"guidelines_seen": number})
    return not is_new and see(annotator, number) and known.guidelines_seen > 0


def see(annotator: User, number: int) -> bool:
    """Notes that the annotator knows this version; whether they did not before."""
    older = JudgingChoices.objects.filter(~Q(guidelines_seen=number), annotator=annotator)
    return older.exists() and bool(older.update(guidelines_seen=number))


def _shipped() -> Guidelines:
    english, korean = ((SEED / f"guidelines.{code}.md").read_text(encoding="utf-8").strip() for code in ("en", "ko"))
    return Guidelines(number=FIRST, text_en=english, text_ko=korean)


def _lines(rows: list[str]) -> Iterator[Line]:
    kinds = {"+": "added", "-": "removed", " ": "kept", "@": "gap"}
    for row in rows:
        kind = kinds[row[0]]
        yield Line(kind, "" if kind == "gap" else row[1:])
