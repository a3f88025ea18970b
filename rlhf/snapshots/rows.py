"""Converts feedback rows to lines of a snapshot's files, in a fixed order: the same rows give the same bytes."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from datetime import datetime
from math import comb
from typing import Any
from uuid import UUID

from accounts import consents
from chat import site_choices
from chat.models import Conversation, Message
from chat.prompts.history import branch_to, preamble_of, turns_seen
from feedback import shares, trainable
from feedback.judgements.rankings import pairs
from feedback.judgements.strength import margins
from feedback.masking.conversations import masker_of
from feedback.masking.masker import Masker
from feedback.models import Comparison, CompletionThumb, Prompt, Ranking, Rule, TaskAnswer, Thumb, Violation
from feedback.programs import is_measured
from feedback.prompts import as_answered, as_served
from feedback.splits import split_of_conversation
from feedback.trust import weights
from feedback.trust.weights import NO_TRUST, Weights
from rlhf.snapshots import provenance
from rlhf.snapshots.answer_rows import demonstration_rows, order_of_correction, order_of_rating, rating_rows
from rlhf.snapshots.fragments import are_whole, keep_whole
from rlhf.snapshots.frozen_row import FrozenRow, Line, Row, origin_of_prompt
from rlhf.snapshots.groups import group_keys
from rlhf.snapshots.leaks import Origin, leaks, origin
from rlhf.snapshots.masked_lines import mask_line

CUT, UNTRUSTED, NEAR = "too_few_whole_replies", "annotator_not_trusted", "held_out_too_near_to_trained"


class Frozen:
    """All feedback that may train, as of `until`, as lines of the files."""

    def __init__(self, until: datetime) -> None:
        self.rules = list(_rule_lines())
        judged, pairs_shown = list(_ranking_rows(until)), list(_comparison_rows(until))
        trust = self.trust = weights.known()
        whole = [one for one in judged if keep_whole(one.line)]
        whole_pairs = [one for one in pairs_shown if keep_whole(one.line)]
        flags = list(_flag_rows(until, {rule["key"] for rule in self.rules}))
        thumbs: list[FrozenRow[Any]] = [*_thumb_rows(until), *_completion_thumb_rows(until)]
        ranked = [one for one in whole if _counts(one.row, trust)]
        chosen = [one for one in whole_pairs if _counts(one.row, trust)]
        flagged = [one for one in flags if _trust_in_flag(one, trust) > 0]
        thumbed = [one for one in thumbs if trust.judgement(_judge_of(one.row)) > 0]
        wrote, rates = list(demonstration_rows(until)), list(rating_rows(until))
        written = [one for one in wrote if _counts(one.row, trust)]
        rated = [one for one in rates if _counts(one.row, trust)]
        prompted = list(_prompt_rows(until))
        found: list[FrozenRow[Any]] = [*ranked, *chosen, *flagged, *prompted, *thumbed, *written, *rated]
        leaking = leaks({entry.origin for entry in found})
        self.ranked, self.chosen = _without(leaking, ranked), _without(leaking, chosen)
        self.flagged, self.prompted = _without(leaking, flagged), _without(leaking, prompted)
        self.thumbed = _without(leaking, thumbed)
        self.written, self.rated = _without(leaking, written), _without(leaking, rated)
        self.left_out = sum(entry.origin in leaking for entry in found)
        """Held-out lines that stood too near to what the policy is trained on."""
        self.dropped = {
            "rankings": _dropped(judged, whole, ranked, self.ranked),
            "comparisons": _dropped(pairs_shown, whole_pairs, chosen, self.chosen),
            "flags": _dropped(flags, flags, flagged, self.flagged),
            "thumbs": _dropped(thumbs, thumbs, thumbed, self.thumbed),
            "answers": _dropped([*wrote, *rates], [*wrote, *rates], [*written, *rated], [*self.written, *self.rated]),
        }
        """Of what may train by itself, how much is left out and why."""
        self.rankings_left_out = _left_out(judged, self.ranked)
        self.comparisons_left_out = _left_out(pairs_shown, self.chosen)
        self._mask()
        self._name_consent()
        self._weigh()
        self._group()
        self._list_lines()

    def _kept(self) -> list[FrozenRow[Any]]:
        answered: list[FrozenRow[Any]] = [*self.written, *self.rated]
        return [*answered, *self.ranked, *self.chosen, *self.flagged, *self.prompted, *self.thumbed]

    def _mask(self) -> None:
        """What people wrote in chats; prompts of tasks were masked when they were made."""
        maskers: dict[UUID, Masker] = {}
        for entry in self._kept():
            whose = entry.origin.conversation
            if whose is not None:
                if whose not in maskers:
                    maskers[whose] = masker_of(whose)
                mask_line(entry.line, maskers[whose])

    def _name_consent(self) -> None:
        """The version of the words to which the owner of the conversation agreed; 0 where no text is a person's."""
        version = _versions_by_conversation(self.conversations())
        for entry in self._kept():
            whose = entry.origin.conversation
            entry.line["consent_version"] = version.get(whose, 0) if whose is not None else 0

    def _weigh(self) -> None:
        judged: list[FrozenRow[Any]] = [*self.ranked, *self.chosen, *self.written, *self.rated]
        weight = _weights((entry.row for entry in judged), self.trust)
        for entry in judged:
            is_whole = not is_measured(entry.row) or entry.line.get("adjudicated")  # a lead decides by their role
            entry.line["weight"] = 1.0 if is_whole else weight[entry.row.annotator_id]
        of_thumb = _trusted(Counter(_judge_of(entry.row) for entry in self.thumbed), self.trust)
        for thumb in self.thumbed:
            thumb.line["weight"] = of_thumb[_judge_of(thumb.row)]
        of_flag = _flag_weights((entry.row for entry in self.flagged), self.trust)
        for flag in self.flagged:
            flag.line["weight"] = of_flag[flag.row.annotator_id, flag.line["rule"]] if is_measured(flag.row) else 1.0

    def _group(self) -> None:
        """Names the group of each held-out line; the others have none, as nothing divides them."""
        answered: list[FrozenRow[Any]] = [*self.written, *self.rated]
        entries: list[FrozenRow[Any]] = [*answered, *self.ranked, *self.chosen, *self.flagged, *self.prompted]
        keys = group_keys({entry.origin for entry in entries})
        for entry in entries:
            if entry.origin in keys:
                entry.line["group"] = keys[entry.origin]

    def _list_lines(self) -> None:
        self.demonstrations = [entry.line for entry in self.written]
        self.ratings = [entry.line for entry in self.rated]
        orders = [*map(order_of_correction, self.demonstrations), *map(order_of_rating, self.ratings)]
        self.rankings = [*(entry.line for entry in self.ranked), *(entry.line for entry in self.chosen)]
        self.rankings += [line for line in orders if line is not None]
        self.violations = [entry.line for entry in self.flagged]
        self.prompts = [entry.line for entry in self.prompted]
        self.preferences = [line for ranking in self.rankings for line in _preference_lines(ranking)]
        of_all = [line for entry in self.ranked for line in _lines_of_all(entry.line)]
        self.unpaired = [*(entry.line for entry in self.thumbed), *of_all]

    def conversations(self) -> set[UUID]:
        """Ids of the conversations whose words are in it."""
        return {entry.origin.conversation for entry in self._kept() if entry.origin.conversation is not None}

    def annotators(self) -> dict[str, int]:
        """Lines by each person, whom a pseudonym stands for; without programs."""
        judged: list[FrozenRow[Any]] = [*self.ranked, *self.chosen, *self.flagged, *self.written, *self.rated]
        people = Counter(entry.line["annotator"] for entry in judged if not entry.row.is_simulated)
        people.update(entry.line["annotator"] for entry in self.thumbed)
        return dict(sorted(people.items()))

    def comparisons(self, split: str) -> int:
        return sum(line["split"] == split for line in self.preferences)

    def own_comparisons(self, split: str) -> int:
        """Of people and programs of this site."""
        return sum(line["split"] == split and not line["imported_from"] for line in self.preferences)

    def rankings_of(self, split: str) -> int:
        return sum(line["split"] == split for line in self.rankings)

    def is_simulated_only(self) -> bool:
        return all(line["simulated"] for line in (*self.rankings, *self.violations))

    def files(self) -> dict[str, list[Line]]:
        """Without files of lines that have none: from such a file no reader can tell what its lines hold."""
        return {name: lines for name, lines in self._files().items() if lines or name.endswith(".json")}

    def empty_files(self) -> list[str]:
        return [name for name in self._files() if name not in self.files()]

    def _files(self) -> dict[str, list[Line]]:
        return {
            "rankings.jsonl": self.rankings,
            "violations.jsonl": self.violations,
            "prompts.jsonl": self.prompts,
            "preferences.jsonl": self.preferences,
            "unpaired.jsonl": self.unpaired,
            "demonstrations.jsonl": self.demonstrations,
            "ratings.jsonl": self.ratings,
            "rules.json": self.rules,
        }


def _versions_by_conversation(ids: Collection[UUID]) -> dict[UUID, int]:
    owners = Conversation.objects.filter(pk__in=ids).values_list("pk", "owner")
    of_person = consents.versions()
    return {conversation: of_person.get(owner, 0) for conversation, owner in owners}


def _without(leaking: set[Origin], entries: Iterable[FrozenRow[Row]]) -> list[FrozenRow[Row]]:
    return [entry for entry in entries if entry.origin not in leaking]


def _dropped(every: Sized, whole: Sized, counted: Sized, kept: Sized) -> dict[str, int]:
    return {CUT: len(every) - len(whole), UNTRUSTED: len(whole) - len(counted), NEAR: len(counted) - len(kept)}


def _judge_of(row: Thumb | CompletionThumb) -> int:
    return row.person_id if isinstance(row, Thumb) else row.annotator_id


def _left_out(every: Iterable[FrozenRow[Row]], kept: Iterable[FrozenRow[Row]]) -> list[int]:
    """Ids of the judgements that are in no line, so that they are not taken for new ones."""
    frozen = {entry.row.pk for entry in kept}
    return [entry.row.pk for entry in every if entry.row.pk not in frozen]


def _counts(row: Ranking | Comparison | TaskAnswer, trust: Weights) -> bool:
    is_decision = not isinstance(row, Comparison) and row.is_adjudication
    return not is_measured(row) or is_decision or trust.judgement(row.annotator_id) > 0


def _trust_in_flag(entry: FrozenRow[Violation], trust: Weights) -> float:
    row = entry.row
    return trust.flag(row.annotator_id, row.rule_version.rule.key) if is_measured(row) else 1.0


def _weights(rows: Iterable[Ranking | Comparison | TaskAnswer], trust: Weights = NO_TRUST) -> dict[int, float]:
    """The weight of one judgement of each person: how much they are trusted, capped.

    Without simulated annotators: how many judgements they make is the owner's choice, and the cap is for people.
    """
    return _trusted(Counter(row.annotator_id for row in rows if is_measured(row)), trust)


def _trusted(judgements: Mapping[int, int], trust: Weights) -> dict[int, float]:
    """Capped after trust has made some weigh less, so that nobody's share of what is left is above the limit."""
    capped = shares.weights({person: count * trust.judgement(person) for person, count in judgements.items()})
    return {person: round(capped[person] * trust.judgement(person), 6) for person in judgements}


def _flag_weights(rows: Iterable[Violation], trust: Weights = NO_TRUST) -> dict[tuple[int, str], float]:
    """(person, rule) -> the weight of one flag of theirs, whether it says that a reply breaks the rule or does not.

    Capped over all rules and within each one: nobody decides alone what a rule means that others judge, too.
    """
    people = Counter((row.annotator_id, row.rule_version.rule.key) for row in rows if is_measured(row))
    total: dict[int, float] = {}
    by_rule: dict[str, dict[int, float]] = {}
    for (person, rule), count in people.items():
        mass = count * trust.flag(person, rule)
        total[person] = total.get(person, 0.0) + mass
        by_rule.setdefault(rule, {})[person] = mass
    overall = shares.weights(total)
    within = {rule: shares.weights(masses) for rule, masses in by_rule.items()}
    capped = {(person, rule): min(overall[person], within[rule][person]) for person, rule in people}
    return {key: round(factor * trust.flag(*key), 6) for key, factor in capped.items()}


def _ranking_rows(until: datetime) -> Iterator[FrozenRow[Ranking]]:
    rows = trainable.rankings().filter(created_at__lt=until).order_by("pk")
    related = (*provenance.JUDGED, *(f"task__{name}" for name in provenance.TASK))
    for row in rows.select_related(*related).prefetch_related("task__completions"):
        completions = list(row.task.completions.all())
        line = {
            "id": row.pk,
            "prompt": as_answered(row.task),
            "completions": [{"text": c.text, "finish_reason": c.finish_reason} for c in completions],
            "ranks": [row.ranks[str(c.pk)] for c in completions],
            "shown": _shown(row, [c.pk for c in completions]),
            "policies": provenance.policies(row.task, completions),
            "split": row.task.prompt.split,
            "weight": 1.0,
            "annotator": provenance.pseudonym(row.annotator),
            "simulated": row.is_simulated,
            **({"adjudicated": True} if row.is_adjudication else {}),
            **_said_beside_the_order(row, [c.pk for c in completions]),
            **provenance.of_ranking(row),
        }
        yield FrozenRow(row, line, origin_of_prompt(row.task.prompt))


def _said_beside_the_order(row: Ranking, completions: list[int]) -> Line:
    """How much better, as (better, worse, margin) of positions, and whether all are good or bad; nothing unsaid."""
    said: Line = {}
    place = {pk: index for index, pk in enumerate(completions)}
    told = [(*pair, margin) for pair, margin in sorted(margins(row.ranks, row.strength).items())]
    if found := told or row.margins:  # of an imported ranking the margins themselves are stored
        said["margins"] = [[place[better], place[worse], margin] for better, worse, margin in found]
    if row.overall:
        said["overall"] = row.overall
    return said


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
    sided = [f"pair__{side}__{of}" for side in ("left", "right") for of in ("message", "policy")]
    for row in rows.select_related("pair__message", "annotator__imported", *sided):
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
            "annotator": provenance.pseudonym(row.annotator),
            "simulated": row.is_simulated,
            **provenance.of_comparison(row, _asked(context)),
        }
        yield FrozenRow(row, line, _origin_of_message(row.split, row.pair.left.message, context))


def _thumb_rows(until: datetime) -> Iterator[FrozenRow[Thumb]]:
    """TRL's conversational unpaired preference format, one line a thumb."""
    rows = trainable.thumbs().filter(created_at__lt=until).order_by("pk")
    for row in rows.select_related("message__reply__policy", "person__imported"):
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
            **provenance.of_thumb(row, _asked(context)),
        }
        yield FrozenRow(row, line, _origin_of_message(split, row.message, context))


def _completion_thumb_rows(until: datetime) -> Iterator[FrozenRow[CompletionThumb]]:
    rows = trainable.completion_thumbs().filter(created_at__lt=until).order_by("pk")
    related = (*provenance.JUDGED, *(f"completion__task__{name}" for name in provenance.TASK))
    for row in rows.select_related(*related).prefetch_related("completion__task__completions"):
        prompt = row.completion.task.prompt
        if not are_whole(row.completion.finish_reason):
            continue
        line = {
            "prompt": as_answered(row.completion.task),
            "completion": [{"role": "assistant", "content": row.completion.text}],
            "label": row.is_up,
            "split": prompt.split,
            "weight": 1.0,
            **provenance.of_completion_thumb(row),
        }
        yield FrozenRow(row, line, origin_of_prompt(prompt))


def _asked(context: Sequence[Mapping[str, Any]]) -> str:
    """The last turn of the user."""
    return next((str(turn["content"]) for turn in reversed(context) if turn["role"] == "user"), "")


OF_A_RANKING = (
    *("project", "annotator", "simulated", "seconds", "guidelines_version"),
    *("language", "consent", "consent_version", "imported_from", "adjudicated"),
)
"""What a pair has in common with the ranking that it comes from."""


def _preference_lines(ranking: Line) -> Iterator[Line]:
    """TRL's conversational preference format, one line a pair without a tie, of different texts.

    `weight` is the pair's in the loss; `margin` is TRL's column of that name, 0 where nobody said how much better;
    `shown` are the places of the two on the page.
    """
    texts = [completion["text"] for completion in ranking["completions"]]
    share = ranking["weight"] / max(1, comb(len(texts), 2))  # the only reply of its set is compared with none
    said = {(better, worse): margin for better, worse, margin in ranking.get("margins") or ()}
    policies, shown = ranking.get("policies") or [""] * len(texts), ranking.get("shown") or []
    for better, worse in pairs({str(index): rank for index, rank in enumerate(ranking["ranks"])}):
        if texts[better] == texts[worse]:
            continue
        yield {
            "prompt": ranking["prompt"],
            "chosen": [{"role": "assistant", "content": texts[better]}],
            "rejected": [{"role": "assistant", "content": texts[worse]}],
            "split": ranking["split"],
            "weight": share,
            "margin": said.get((better, worse), 0.0),
            "ranking": str(ranking.get("id", "")),
            "chosen_policy": policies[better],
            "rejected_policy": policies[worse],
            "shown": [shown.index(place) for place in (better, worse)] if shown else [],
            **{name: ranking[name] for name in OF_A_RANKING if name in ranking},
        }


def _lines_of_all(ranking: Line) -> Iterator[Line]:
    """TRL's conversational unpaired preference format, one line a reply of a ranking of which the annotator said that
    all are good or all are bad; together they weigh what the ranking does."""
    if "overall" not in ranking:
        return
    for place, completion in enumerate(ranking["completions"]):
        yield {
            "prompt": ranking["prompt"],
            "completion": [{"role": "assistant", "content": completion["text"]}],
            "label": ranking["overall"] == Ranking.Overall.GOOD,
            "split": ranking["split"],
            "weight": ranking["weight"] / len(ranking["completions"]),
            "policy": ranking["policies"][place],
            **{name: ranking[name] for name in OF_A_RANKING if name in ranking},
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
        yield FrozenRow(row, line, origin_of_prompt(row))


def _rule_lines() -> Iterator[Line]:
    for rule in Rule.objects.filter(is_on=True).order_by("position", "pk").prefetch_related("versions"):
        newest = max(rule.versions.all(), key=lambda version: version.number, default=None)
        if newest is not None:
            yield {"key": rule.key, "name": newest.taught_name, "text": newest.taught_text, "group": rule.group}


def _flag_rows(until: datetime, rules: set[str]) -> Iterator[FrozenRow[Violation]]:
    rows = trainable.violations().filter(created_at__lt=until, rule_version__rule__key__in=rules).order_by("pk")
    made_in = ("ranking", "answer", "message__conversation", "message__reply__policy")
    related = ("rule_version__rule", *made_in, *provenance.JUDGED)
    of_task = [f"completion__task__{name}" for name in (*provenance.TASK, "probe")]
    for row in rows.select_related(*related, *of_task).prefetch_related("completion__task__completions"):
        if not are_whole(row.completion.finish_reason if row.completion else _finish_reason(row.message)):
            continue
        if row.completion is not None:
            prompt = row.completion.task.prompt
            answered = as_answered(row.completion.task)
            line = _flag(row, answered, row.completion.text, row.completion.finish_reason, prompt.split)
            yield FrozenRow(row, line, origin_of_prompt(prompt))
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
        "rule_text": row.rule_version.taught_text,
        "label": int(row.is_violation),
        "split": str(split),
        "weight": 1.0,
        "annotator": provenance.pseudonym(row.annotator),
        "simulated": row.is_simulated,
        **({"adjudicated": True} if row.answer is not None and row.answer.is_adjudication else {}),
        **provenance.of_flag(row, _asked(prompt)),
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


def _origin_of_message(split: str, message: Message, context: list[Line]) -> Origin:
    return origin(split, message.conversation_id, context[len(preamble_of(message)) :])
