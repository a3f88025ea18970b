"""Converts feedback rows to lines of a snapshot's files, in a fixed order: the same rows give the same bytes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import comb
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model
from django.utils.crypto import salted_hmac

from chat import site_choices
from chat.models import Message
from chat.prompts.history import branch_to, preamble_of, turns_seen
from feedback import trainable
from feedback.judgements.rankings import pairs
from feedback.models import Comparison, Prompt, Ranking, Rule, Thumb, Violation
from feedback.prompts import as_answered, as_served
from feedback.splits import split_of_conversation
from rlhf.snapshots import shares
from rlhf.snapshots.fragments import are_whole, keep_whole
from rlhf.snapshots.groups import group_keys
from rlhf.snapshots.leaks import Origin, leaks, origin

Line = dict[str, Any]


def _pseudonym(user_id: int) -> str:
    """Distinguishes annotators without naming them."""
    return salted_hmac("rlhf.snapshots.annotator", str(user_id), algorithm="sha256").hexdigest()[:16]


Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class FrozenRow(Generic[Row]):
    """A row of feedback that may train, with its line and with what decides whether the line may be held out."""

    row: Row
    line: Line
    origin: Origin


class Frozen:
    """All feedback that may train, as of `until`, as lines of the files."""

    def __init__(self, until: datetime) -> None:
        self.rules = list(_rule_lines())
        judged, pairs_shown = list(_ranking_rows(until)), list(_comparison_rows(until))
        ranked = [entry for entry in judged if keep_whole(entry.line)]
        chosen = [entry for entry in pairs_shown if keep_whole(entry.line)]
        flagged = list(_flag_rows(until, {rule["key"] for rule in self.rules}))
        prompted, thumbed = list(_prompt_rows(until)), list(_thumb_rows(until))
        found: list[FrozenRow[Any]] = [*ranked, *chosen, *flagged, *prompted, *thumbed]
        leaking = leaks({entry.origin for entry in found})
        self.ranked, self.chosen = _without(leaking, ranked), _without(leaking, chosen)
        self.flagged, self.prompted = _without(leaking, flagged), _without(leaking, prompted)
        self.thumbed = _without(leaking, thumbed)
        self.left_out = sum(entry.origin in leaking for entry in found)
        """Held-out lines that stood too near to what the policy is trained on."""
        self.rankings_left_out = _left_out(judged, self.ranked)
        self.comparisons_left_out = _left_out(pairs_shown, self.chosen)
        self._weigh()
        self._group()
        self._list_lines()

    def _weigh(self) -> None:
        judged: list[FrozenRow[Any]] = [*self.ranked, *self.chosen]
        weight = _weights(entry.row for entry in judged)
        for entry in judged:
            entry.line["weight"] = 1.0 if entry.row.is_simulated else weight[entry.row.annotator_id]
        of_thumb = shares.weights(Counter(entry.row.person_id for entry in self.thumbed))
        for thumb in self.thumbed:
            thumb.line["weight"] = of_thumb[thumb.row.person_id]
        of_flag = _flag_weights(entry.row for entry in self.flagged)
        for flag in self.flagged:
            flag.line["weight"] = 1.0 if flag.row.is_simulated else of_flag[flag.row.annotator_id, flag.line["rule"]]

    def _group(self) -> None:
        """Names the group of each held-out line; the others have none, as nothing divides them."""
        entries: list[FrozenRow[Any]] = [*self.ranked, *self.chosen, *self.flagged, *self.prompted]
        keys = group_keys({entry.origin for entry in entries})
        for entry in entries:
            if entry.origin in keys:
                entry.line["group"] = keys[entry.origin]

    def _list_lines(self) -> None:
        self.rankings = [*(entry.line for entry in self.ranked), *(entry.line for entry in self.chosen)]
        self.violations = [entry.line for entry in self.flagged]
        self.prompts = [entry.line for entry in self.prompted]
        self.preferences = [line for ranking in self.rankings for line in _preference_lines(ranking)]
        self.unpaired = [entry.line for entry in self.thumbed]

    def conversations(self) -> set[UUID]:
        """Ids of the conversations whose words are in it."""
        kept: list[FrozenRow[Any]] = [*self.ranked, *self.chosen, *self.flagged, *self.prompted, *self.thumbed]
        return {entry.origin.conversation for entry in kept if entry.origin.conversation is not None}

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


def _without(leaking: set[Origin], entries: Iterable[FrozenRow[Row]]) -> list[FrozenRow[Row]]:
    return [entry for entry in entries if entry.origin not in leaking]


def _left_out(every: Iterable[FrozenRow[Row]], kept: Iterable[FrozenRow[Row]]) -> list[int]:
    """Ids of the judgements that are in no line, so that they are not taken for new ones."""
    frozen = {entry.row.pk for entry in kept}
    return [entry.row.pk for entry in every if entry.row.pk not in frozen]


def _weights(rows: Iterable[Ranking | Comparison]) -> dict[int, float]:
    """The weight of one judgement of each person.

    Without simulated annotators: how many judgements they make is the owner's choice, and the cap is for people.
    """
    return shares.weights(Counter(row.annotator_id for row in rows if not row.is_simulated))


def _flag_weights(rows: Iterable[Violation]) -> dict[tuple[int, str], float]:
    """(person, rule) -> the weight of one flag of theirs, whether it says that a reply breaks the rule or does not.

    Capped over all rules and within each one: nobody decides alone what a rule means that others judge, too.
    """
    people = Counter((row.annotator_id, row.rule_version.rule.key) for row in rows if not row.is_simulated)
    total: Counter[int] = Counter()
    by_rule: dict[str, dict[int, int]] = {}
    for (person, rule), count in people.items():
        total[person] += count
        by_rule.setdefault(rule, {})[person] = count
    overall = shares.weights(total)
    within = {rule: shares.weights(counts) for rule, counts in by_rule.items()}
    return {(person, rule): min(overall[person], within[rule][person]) for person, rule in people}


def _ranking_rows(until: datetime) -> Iterator[FrozenRow[Ranking]]:
    rows = trainable.rankings().filter(created_at__lt=until).order_by("pk")
    for row in rows.select_related("task__prompt__message").prefetch_related("task__completions"):
        completions = list(row.task.completions.all())
        line = {
            "id": row.pk,
            "prompt": as_answered(row.task),
            "completions": [{"text": c.text, "finish_reason": c.finish_reason} for c in completions],
            "ranks": [row.ranks[str(c.pk)] for c in completions],
            "shown": _shown(row, [c.pk for c in completions]),
            "split": row.task.prompt.split,
            "weight": 1.0,
            "annotator": _pseudonym(row.annotator_id),
            "simulated": row.is_simulated,
        }
        yield FrozenRow(row, line, _origin_of_prompt(row.task.prompt))


def _shown(row: Ranking, completions: list[int]) -> list[int]:
    """Positions of the completions as they stood on the page; nothing where the ranking does not tell."""
    if sorted(row.shown_order) != sorted(completions):
        return []
    return [completions.index(pk) for pk in row.shown_order]


RANKS: dict[str, list[int]] = {"left": [1, 2], "right": [2, 1], "tie": [1, 1], "both_bad": [1, 1]}
"""Of the left and the right reply. In a tie neither is better, and likewise in "both bad"."""


def _comparison_rows(until: datetime) -> Iterator[FrozenRow[Comparison]]:
    """Choices in the chat as rankings of two, in the order in which they stood on the page; without those where a
    turn of what both replies answer may not train."""
    rows = trainable.comparisons().filter(created_at__lt=until).order_by("pk")
    for row in rows.select_related("pair__message", "pair__left__message", "pair__right__message"):
        sides = (row.pair.left, row.pair.right)
        context = _context_of(row.pair.left.message)
        if context is None:
            continue
        line = {
            "id": f"comparison-{row.pk}",
            "prompt": context,
            "completions": [{"text": side.message.text, "finish_reason": side.finish_reason} for side in sides],
            "ranks": RANKS[row.choice],
            "shown": [0, 1],
            "split": row.split,
            "weight": 1.0,
            "annotator": _pseudonym(row.annotator_id),
            "simulated": row.is_simulated,
        }
        yield FrozenRow(row, line, _origin_of_message(row.split, row.pair.left.message, context))


def _thumb_rows(until: datetime) -> Iterator[FrozenRow[Thumb]]:
    """TRL's conversational unpaired preference format, one line a thumb."""
    for row in trainable.thumbs().filter(created_at__lt=until).order_by("pk").select_related("message__reply"):
        context = _context_of(row.message)
        if context is None or not are_whole(_finish_reason(row.message)):
            continue
        split = split_of_conversation(row.message)
        line = {
            "prompt": context,
            "completion": [{"role": "assistant", "content": row.message.text}],
            "label": row.is_up,
            "split": split,
            "weight": 1.0,
        }
        yield FrozenRow(row, line, _origin_of_message(split, row.message, context))


def _preference_lines(ranking: Line) -> Iterator[Line]:
    """TRL's conversational preference format, one line a pair without a tie, of different texts.

    `weight` is the pair's in the loss; `margin` is TRL's column of that name, 0 where nobody said how much better.
    """
    texts = [completion["text"] for completion in ranking["completions"]]
    share = ranking["weight"] / max(1, comb(len(texts), 2))  # the only reply of its set is compared with none
    margins = {(better, worse): margin for better, worse, margin in ranking.get("margins") or ()}
    for better, worse in pairs({str(index): rank for index, rank in enumerate(ranking["ranks"])}):
        if texts[better] == texts[worse]:
            continue
        yield {
            "prompt": ranking["prompt"],
            "chosen": [{"role": "assistant", "content": texts[better]}],
            "rejected": [{"role": "assistant", "content": texts[worse]}],
            "split": ranking["split"],
            "weight": share,
            "margin": margins.get((better, worse), 0.0),
        }


def _prompt_rows(until: datetime) -> Iterator[FrozenRow[Prompt]]:
    """As the live policy would read them now."""
    system_prompt = site_choices.system_prompt_for(None)
    rows = trainable.prompts().filter(created_at__lt=until).order_by("pk").select_related("elicits", "message")
    for row in rows:
        elicits = row.elicits.key if row.elicits is not None else None
        served = as_served(row, system_prompt)
        line = {"prompt": served, "split": row.split, "elicits": elicits, "language": row.language}
        if served != row.messages:
            line["sha256"] = row.sha256
        yield FrozenRow(row, line, _origin_of_prompt(row))


def _rule_lines() -> Iterator[Line]:
    for rule in Rule.objects.filter(is_on=True).order_by("position", "pk").prefetch_related("versions"):
        newest = max(rule.versions.all(), key=lambda version: version.number, default=None)
        if newest is not None:
            yield {"key": rule.key, "name": newest.name_en, "text": newest.text_en, "group": rule.group}


def _flag_rows(until: datetime, rules: set[str]) -> Iterator[FrozenRow[Violation]]:
    rows = trainable.violations().filter(created_at__lt=until, rule_version__rule__key__in=rules).order_by("pk")
    related = ("rule_version__rule", "completion__task__prompt__message", "message__conversation")
    for row in rows.select_related(*related).prefetch_related("completion__task__completions"):
        if not are_whole(row.completion.finish_reason if row.completion else _finish_reason(row.message)):
            continue
        if row.completion is not None:
            prompt = row.completion.task.prompt
            answered = as_answered(row.completion.task)
            line = _flag(row, answered, row.completion.text, row.completion.finish_reason, prompt.split)
            yield FrozenRow(row, line, _origin_of_prompt(prompt))
        elif row.message is not None and (context := _context_of(row.message)) is not None:
            split = split_of_conversation(row.message)
            line = _flag(row, context, row.message.text, _finish_reason(row.message), split)
            yield FrozenRow(row, line, _origin_of_message(split, row.message, context))


def _flag(row: Violation, prompt: Sequence[Mapping[str, Any]], text: str, reason: str, split: str) -> Line:
    return {
        "id": f"{row.pk}",
        "prompt": prompt,
        "completion": {"text": text, "finish_reason": reason},
        "rule": row.rule_version.rule.key,
        "rule_text": row.rule_version.text_en,
        "label": int(row.is_violation),
        "split": str(split),
        "weight": 1.0,
        "annotator": _pseudonym(row.annotator_id),
        "simulated": row.is_simulated,
    }


def _finish_reason(message: Message | None) -> str:
    reply = message.reply_or_none if message is not None else None
    return reply.finish_reason if reply is not None else ""


def _context_of(message: Message) -> list[Line] | None:
    """The prompt that the policy got for the message: its assistant's instructions and examples, then the turns that
    fitted. None where a turn above is hidden or excluded from training.
    """
    above = branch_to(message.conversation_id, message.parent_id)
    if any(turn.hidden_at is not None or turn.never_train for turn in above):
        return None
    return [dict(turn) for turn in turns_seen(message)] or None


def _origin_of_prompt(prompt: Prompt) -> Origin:
    conversation = prompt.message.conversation_id if prompt.message is not None else None
    return origin(prompt.split, conversation, prompt.messages[prompt.preamble_turns :])


def _origin_of_message(split: str, message: Message, context: list[Line]) -> Origin:
    return origin(split, message.conversation_id, context[len(preamble_of(message)) :])
