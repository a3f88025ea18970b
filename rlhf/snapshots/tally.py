"""Counts what was collected and what a snapshot holds of it, with the reason of everything that it leaves out."""

from collections.abc import Sequence
from datetime import datetime
from math import comb
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from feedback import trainable
from feedback.models import (
    Comparison,
    Completion,
    CompletionThumb,
    Ranking,
    RankingTask,
    Skip,
    TaskAnswer,
    Thumb,
    Violation,
)
from rlhf.snapshots.rows import Frozen

Reasons = Sequence[tuple[str, Q]]
Tally = dict[str, Any]
WITHDRAWN = ("withdrawn", Q(withdrawn_at__isnull=False))
TOO_FAST = "faster_than_reading_allows"
TEXT = "text_or_prompt_may_not_train"
"""It was hidden, kept out by a moderator, or its writer does not agree."""


def tally(frozen: Frozen, until: datetime) -> Tally:
    """By kind: `collected`, `kept`, and `left_out` by reason, which add up. Of the preference pairs in the rankings,
    the same; and what no file of a snapshot ever holds."""
    return {
        "rankings": _rankings(frozen, until),
        "comparisons": _comparisons(frozen, until),
        "flags": _flags(frozen, until),
        "thumbs": _thumbs(frozen, until),
        "answers": _answers(frozen, until),
        "pairs": _pairs(frozen),
        "never_written": _never_written(until),
    }


def _rankings(frozen: Frozen, until: datetime) -> Tally:
    hidden = Completion.objects.filter(Q(hidden_at__isnull=False) | Q(never_train=True), task=OuterRef("task_id"))
    closed = ("account_closed_or_suspended", trainable.suspended())
    overruled = ("a_lead_decided_otherwise", trainable.overruled())
    alone = ("one_reply_alone", Q(task__probe__isnull=False))
    reasons = (WITHDRAWN, overruled, closed, (TOO_FAST, Q(too_fast=True)), alone, (TEXT, Q(Exists(hidden))))
    rows = Ranking.objects.filter(created_at__lt=until)
    return _counted(rows, reasons, len(frozen.ranked), frozen.dropped["rankings"], TEXT)


def _comparisons(frozen: Frozen, until: datetime) -> Tally:
    reasons = (
        WITHDRAWN,
        ("account_closed_or_suspended", trainable.suspended()),
        ("reply_revealed_who_wrote_it", ~Q(discounted="")),
    )
    rows = Comparison.objects.filter(created_at__lt=until)
    return _counted(rows, reasons, len(frozen.chosen), frozen.dropped["comparisons"], TEXT)


def _flags(frozen: Frozen, until: datetime) -> Tally:
    overruled = Q(answer__task__lead=RankingTask.Lead.DECIDED, answer__is_adjudication=False)
    reasons = (
        ("withdrawn", Q(ranking__withdrawn_at__isnull=False) | Q(answer__withdrawn_at__isnull=False)),
        ("a_lead_decided_otherwise", overruled),
        ("account_closed_or_suspended", trainable.suspended()),
        (TOO_FAST, Q(ranking__too_fast=True) | Q(answer__too_fast=True)),
        ("rule_switched_off", Q(rule_version__rule__is_on=False)),
    )
    rows = Violation.objects.filter(created_at__lt=until)
    rest = "dismissed_or_text_may_not_train"
    return _counted(rows, reasons, len(frozen.flagged), frozen.dropped["flags"], rest)


def _thumbs(frozen: Frozen, until: datetime) -> Tally:
    collected = sum(rows.objects.filter(created_at__lt=until).count() for rows in (Thumb, CompletionThumb))
    return _summed(collected, len(frozen.thumbed), frozen.dropped["thumbs"], "text_or_person_may_not_train")


def _answers(frozen: Frozen, until: datetime) -> Tally:
    """Replies that people wrote, and ratings. Answers about a rule are flags."""
    rows = TaskAnswer.objects.filter(Q(said__has_key="text") | Q(said__has_key="ratings"), created_at__lt=until)
    reasons = (WITHDRAWN, ("a_lead_decided_otherwise", trainable.overruled()), (TOO_FAST, Q(too_fast=True)))
    kept = len(frozen.written) + len(frozen.rated)
    return _counted(rows, reasons, kept, frozen.dropped["answers"], TEXT)


def _pairs(frozen: Frozen) -> Tally:
    collected = sum(comb(len(line["ranks"]), 2) for line in frozen.rankings)
    tied = sum(comb(line["ranks"].count(rank), 2) for line in frozen.rankings for rank in set(line["ranks"]))
    return _summed(collected, len(frozen.preferences), {"tied": tied}, "same_text")


def _never_written(until: datetime) -> Tally:
    """Comments are personal and go when their writer goes, and skips say nothing about a reply."""
    judged = (Ranking, TaskAnswer, Thumb)
    commented = [rows.objects.filter(created_at__lt=until).exclude(comment="").count() for rows in judged]
    skipped = Skip.objects.filter(created_at__lt=until).count()
    return {"comments": sum(commented), "skips": skipped}


def _counted(rows: QuerySet[Any], reasons: Reasons, kept: int, dropped: dict[str, int], rest: str) -> Tally:
    """Each row under the first reason that applies."""
    seen: set[int] = set()
    left_out: dict[str, int] = {}
    for name, applies in reasons:
        found = set(rows.filter(applies).values_list("pk", flat=True)) - seen
        left_out[name] = len(found)
        seen |= found
    return _summed(rows.count(), kept, {**left_out, **dropped}, rest)


def _summed(collected: int, kept: int, left_out: dict[str, int], rest: str) -> Tally:
    """What no other reason explains is under `rest`."""
    unexplained = collected - kept - sum(left_out.values())
    reasons = {**left_out, rest: left_out.get(rest, 0) + unexplained}
    return {
        "collected": collected,
        "kept": kept,
        "left_out": {name: count for name, count in reasons.items() if count},
    }
