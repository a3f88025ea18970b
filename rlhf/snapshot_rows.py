"""Feedback rows as lines of a snapshot's files, in a fixed order: the same rows give the same bytes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.utils.crypto import salted_hmac

from chat.history import branch_to, turns_seen
from chat.models import Message
from feedback import trainable
from feedback.models import Ranking, Rule, Violation
from feedback.prompts import digest, side
from feedback.ranking import pairs
from rlhf import shares

Line = dict[str, Any]


def pseudonym(user_id: int) -> str:
    """Tells annotators apart without telling who they are."""
    return salted_hmac("rlhf.snapshots.annotator", str(user_id), algorithm="sha256").hexdigest()[:16]


class Frozen:
    """Everything that trains, as it stood at `until`; each attribute is one file."""

    def __init__(self, until: datetime) -> None:
        rows = trainable.rankings().filter(created_at__lt=until).order_by("pk")
        self.rows = list(rows.select_related("task__prompt").prefetch_related("task__completions"))
        self.rules = list(rule_lines())
        self.rankings = list(ranking_lines(self.rows))
        self.violations = list(violation_lines(until, {rule["key"] for rule in self.rules}))
        self.prompts = list(prompt_lines(until))
        self.preferences = [line for ranking in self.rankings for line in preference_lines(ranking)]

    def comparisons(self, split: str) -> int:
        return sum(line["split"] == split for line in self.preferences)

    def rankings_of(self, split: str) -> int:
        return sum(line["split"] == split for line in self.rankings)

    def is_simulated_only(self) -> bool:
        return all(line["simulated"] for line in (*self.rankings, *self.violations))

    def files(self) -> dict[str, list[Line]]:
        return {
            "rankings.jsonl": self.rankings,
            "violations.jsonl": self.violations,
            "prompts.jsonl": self.prompts,
            "preferences.jsonl": self.preferences,
            "rules.json": self.rules,
        }


def ranking_lines(rows: Iterable[Ranking]) -> Iterator[Line]:
    rows = list(rows)
    weight = shares.weights(Counter(row.annotator_id for row in rows if not row.is_simulated))
    for row in rows:
        completions = list(row.task.completions.all())
        yield {
            "id": row.pk,
            "prompt": row.task.prompt.messages,
            "completions": [{"text": c.text, "finish_reason": c.finish_reason} for c in completions],
            "ranks": [row.ranks[str(c.pk)] for c in completions],
            "split": row.task.prompt.split,
            # A simulated annotator is a program whose owner chose how much it says; the cap is for people.
            "weight": 1.0 if row.is_simulated else weight[row.annotator_id],
            "annotator": pseudonym(row.annotator_id),
            "simulated": row.is_simulated,
        }


def preference_lines(ranking: Line) -> Iterator[Line]:
    """TRL's conversational preference format, one line a pair without a tie."""
    texts = [completion["text"] for completion in ranking["completions"]]
    for better, worse in pairs({str(index): rank for index, rank in enumerate(ranking["ranks"])}):
        yield {
            "prompt": ranking["prompt"],
            "chosen": [{"role": "assistant", "content": texts[better]}],
            "rejected": [{"role": "assistant", "content": texts[worse]}],
            "split": ranking["split"],
        }


def prompt_lines(until: datetime) -> Iterator[Line]:
    rows = trainable.prompts().filter(created_at__lt=until).order_by("pk").select_related("elicits")
    for row in rows:
        elicits = row.elicits.key if row.elicits is not None else None
        yield {"prompt": row.messages, "split": row.split, "elicits": elicits, "language": row.language}


def rule_lines() -> Iterator[Line]:
    for rule in Rule.objects.filter(is_on=True).order_by("position", "pk").prefetch_related("versions"):
        newest = max(rule.versions.all(), key=lambda version: version.number, default=None)
        if newest is not None:
            yield {"key": rule.key, "name": newest.name_en, "text": newest.text_en}


def violation_lines(until: datetime, rules: set[str]) -> Iterator[Line]:
    rows = trainable.violations().filter(created_at__lt=until, rule_version__rule__key__in=rules).order_by("pk")
    related = ("rule_version__rule", "completion__task__prompt", "message__conversation")
    yield from filter(None, map(violation_line, rows.select_related(*related)))


def violation_line(row: Violation) -> Line | None:
    if row.completion is not None:
        prompt = row.completion.task.prompt
        text, reason = row.completion.text, row.completion.finish_reason
        return flag(row, f"{row.pk}", prompt.messages, text, reason, prompt.split)
    if row.message is None or (context := context_of(row.message)) is None:
        return None
    reply = getattr(row.message, "reply", None)
    reason = reply.finish_reason if reply is not None else ""
    return flag(row, f"{row.pk}", context, row.message.text, reason, side(digest(context)))


def flag(row: Violation, line_id: str, prompt: list[Line], text: str, reason: str, split: str) -> Line:
    return {
        "id": line_id,
        "prompt": prompt,
        "completion": {"text": text, "finish_reason": reason},
        "rule": row.rule_version.rule.key,
        "rule_text": row.rule_version.text_en,
        "label": int(row.is_violation),
        "split": str(split),
        "annotator": pseudonym(row.annotator_id),
        "simulated": row.is_simulated,
    }


def context_of(message: Message) -> list[Line] | None:
    """What the policy saw before it wrote the message: its assistant's instructions and examples, then the turns that
    fitted. None where a turn above is hidden or kept out of training.
    """
    above = branch_to(message.conversation_id, message.parent_id)
    if any(turn.hidden_at is not None or turn.never_train for turn in above):
        return None
    return [dict(turn) for turn in turns_seen(message)] or None
