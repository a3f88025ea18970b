"""Converts feedback rows to lines of a snapshot's files, in a fixed order: the same rows give the same bytes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.crypto import salted_hmac

from chat.models import Message
from chat.prompts.history import branch_to, turns_seen
from feedback import trainable
from feedback.judgements.rankings import pairs
from feedback.models import Comparison, Prompt, Ranking, Rule, Thumb, Violation
from feedback.prompts import split_of
from rlhf.snapshots import shares

Line = dict[str, Any]


def _pseudonym(user_id: int) -> str:
    """Distinguishes annotators without naming them."""
    return salted_hmac("rlhf.snapshots.annotator", str(user_id), algorithm="sha256").hexdigest()[:16]


class Frozen:
    """All feedback that may train, as of `until`, as lines of the files."""

    def __init__(self, until: datetime) -> None:
        rows = trainable.rankings().filter(created_at__lt=until).order_by("pk")
        self.rows = list(rows.select_related("task__prompt__message").prefetch_related("task__completions"))
        self.choices = _choices_with_context(until)
        weight = _weights([*self.rows, *(choice for choice, _context in self.choices)])
        self.rules = list(_rule_lines())
        self.rankings = [*_ranking_lines(self.rows, weight), *_comparison_lines(self.choices, weight)]
        self.flagged = _flags_until(until, {rule["key"] for rule in self.rules})
        self.violations = [line for _row, line in self.flagged]
        self.prompt_rows = list(_prompts_until(until))
        self.prompts = list(_prompt_lines(self.prompt_rows))
        self.preferences = [line for ranking in self.rankings for line in _preference_lines(ranking)]
        self.thumbed = _thumbs_until(until)
        self.unpaired = [line for _row, line in self.thumbed]

    def conversations(self) -> set[UUID]:
        """Ids of the conversations whose words are in it."""
        prompts = [*(row.task.prompt for row in self.rows), *self.prompt_rows]
        messages = [
            *(prompt.message for prompt in prompts),
            *(choice.pair.message for choice, _context in self.choices),
            *(_message_of(row) for row, _line in self.flagged),
            *(row.message for row, _line in self.thumbed),
        ]
        return {message.conversation_id for message in messages if message is not None}

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
            "unpaired.jsonl": self.unpaired,
            "rules.json": self.rules,
        }


def _weights(rows: Iterable[Ranking | Comparison]) -> dict[int, float]:
    """The weight of one judgement of each person.

    Without simulated annotators: how many judgements they make is the owner's choice, and the cap is for people.
    """
    return shares.weights(Counter(row.annotator_id for row in rows if not row.is_simulated))


def _ranking_lines(rows: Iterable[Ranking], weight: dict[int, float]) -> Iterator[Line]:
    for row in rows:
        completions = list(row.task.completions.all())
        yield {
            "id": row.pk,
            "prompt": row.task.prompt.messages,
            "completions": [{"text": c.text, "finish_reason": c.finish_reason} for c in completions],
            "ranks": [row.ranks[str(c.pk)] for c in completions],
            "split": row.task.prompt.split,
            "weight": 1.0 if row.is_simulated else weight[row.annotator_id],
            "annotator": _pseudonym(row.annotator_id),
            "simulated": row.is_simulated,
        }


RANKS: dict[str, list[int]] = {"left": [1, 2], "right": [2, 1], "tie": [1, 1], "both_bad": [1, 1]}
"""Of the left and the right reply. In a tie neither is better, and likewise in "both bad"."""


def _choices_with_context(until: datetime) -> list[tuple[Comparison, list[Line]]]:
    """Choices in the chat with what both replies answer; without those where a turn of that may not train."""
    rows = trainable.comparisons().filter(created_at__lt=until).order_by("pk")
    related = ("pair__message", "pair__left__message", "pair__right__message")
    found = [(row, _context_of(row.pair.left.message)) for row in rows.select_related(*related)]
    return [(row, context) for row, context in found if context is not None]


def _comparison_lines(rows: Iterable[tuple[Comparison, list[Line]]], weight: dict[int, float]) -> Iterator[Line]:
    """Choices in the chat as rankings of two, in the order in which they stood on the page."""
    for row, context in rows:
        sides = (row.pair.left, row.pair.right)
        yield {
            "id": f"comparison-{row.pk}",
            "prompt": context,
            "completions": [{"text": side.message.text, "finish_reason": side.finish_reason} for side in sides],
            "ranks": RANKS[row.choice],
            "split": row.split,
            "weight": 1.0 if row.is_simulated else weight[row.annotator_id],
            "annotator": _pseudonym(row.annotator_id),
            "simulated": row.is_simulated,
        }


def _thumbs_until(until: datetime) -> list[tuple[Thumb, Line]]:
    """TRL's conversational unpaired preference format, one line a thumb."""
    rows = trainable.thumbs().filter(created_at__lt=until).order_by("pk").select_related("message__reply")
    return [(row, line) for row in rows if (line := _thumb_line(row)) is not None]


def _thumb_line(row: Thumb) -> Line | None:
    context = _context_of(row.message)
    if context is None:
        return None
    return {
        "prompt": context,
        "completion": [{"role": "assistant", "content": row.message.text}],
        "label": row.is_up,
        "split": split_of(context),
    }


def _preference_lines(ranking: Line) -> Iterator[Line]:
    """TRL's conversational preference format, one line a pair without a tie, of different texts."""
    texts = [completion["text"] for completion in ranking["completions"]]
    for better, worse in pairs({str(index): rank for index, rank in enumerate(ranking["ranks"])}):
        if texts[better] == texts[worse]:
            continue
        yield {
            "prompt": ranking["prompt"],
            "chosen": [{"role": "assistant", "content": texts[better]}],
            "rejected": [{"role": "assistant", "content": texts[worse]}],
            "split": ranking["split"],
        }


def _prompts_until(until: datetime) -> Iterable[Prompt]:
    return trainable.prompts().filter(created_at__lt=until).order_by("pk").select_related("elicits", "message")


def _prompt_lines(rows: Iterable[Prompt]) -> Iterator[Line]:
    for row in rows:
        elicits = row.elicits.key if row.elicits is not None else None
        yield {"prompt": row.messages, "split": row.split, "elicits": elicits, "language": row.language}


def _rule_lines() -> Iterator[Line]:
    for rule in Rule.objects.filter(is_on=True).order_by("position", "pk").prefetch_related("versions"):
        newest = max(rule.versions.all(), key=lambda version: version.number, default=None)
        if newest is not None:
            yield {"key": rule.key, "name": newest.name_en, "text": newest.text_en}


def _flags_until(until: datetime, rules: set[str]) -> list[tuple[Violation, Line]]:
    rows = trainable.violations().filter(created_at__lt=until, rule_version__rule__key__in=rules).order_by("pk")
    related = ("rule_version__rule", "completion__task__prompt__message", "message__conversation")
    return [(row, line) for row in rows.select_related(*related) if (line := _violation_line(row)) is not None]


def _message_of(row: Violation) -> Message | None:
    """The message that is flagged, or that the flagged completion answers; None where no conversation gave it."""
    return row.completion.task.prompt.message if row.completion is not None else row.message


def _violation_line(row: Violation) -> Line | None:
    if row.completion is not None:
        prompt = row.completion.task.prompt
        text, reason = row.completion.text, row.completion.finish_reason
        return _flag(row, f"{row.pk}", prompt.messages, text, reason, prompt.split)
    if row.message is None or (context := _context_of(row.message)) is None:
        return None
    reply = row.message.reply_or_none
    reason = reply.finish_reason if reply is not None else ""
    return _flag(row, f"{row.pk}", context, row.message.text, reason, split_of(context))


def _flag(row: Violation, line_id: str, prompt: list[Line], text: str, reason: str, split: str) -> Line:
    return {
        "id": line_id,
        "prompt": prompt,
        "completion": {"text": text, "finish_reason": reason},
        "rule": row.rule_version.rule.key,
        "rule_text": row.rule_version.text_en,
        "label": int(row.is_violation),
        "split": str(split),
        "annotator": _pseudonym(row.annotator_id),
        "simulated": row.is_simulated,
    }


def _context_of(message: Message) -> list[Line] | None:
    """The prompt that the policy got for the message: its assistant's instructions and examples, then the turns that
    fitted. None where a turn above is hidden or excluded from training.
    """
    above = branch_to(message.conversation_id, message.parent_id)
    if any(turn.hidden_at is not None or turn.never_train for turn in above):
        return None
    return [dict(turn) for turn in turns_seen(message)] or None
