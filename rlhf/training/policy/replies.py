"""The replies of a snapshot's train split as examples to fit to: pairs, the best of each ranking, good and bad."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rlhf.training.fine_tuning.examples import Example, replying
from rlhf.training.snapshot.files import (
    TRAIN,
    BadSnapshot,
    PlainReply,
    PromptMessages,
    RankingRow,
    SnapshotFiles,
    freeze,
    thaw,
)
from rlhf.training.tokens import ChatTokenizer

THUMBS = "unpaired.jsonl"


@dataclass
class NothingToFit(Exception):
    """The train split has no reply of the kind that a way learns from."""

    wanted: str

    def __str__(self) -> str:
        return f"the snapshot's train split has no {self.wanted} to learn from"


@dataclass(frozen=True)
class ReplyEncoder:
    """Replies as token ids, at most `max_tokens` of each; one that was cut gets no end token."""

    tokenizer: ChatTokenizer
    max_tokens: int

    def ids(self, reply: PlainReply) -> tuple[list[int], list[int]]:
        """(prompt, completion)"""
        prompt = self.tokenizer.prompt_ids(thaw(reply.prompt))
        return prompt, self.tokenizer.completion_ids(reply.text, finished=reply.finished, limit=self.max_tokens)

    def example(self, reply: PlainReply, weight: float = 1.0) -> Example:
        return replying(*self.ids(reply), weight)


def pairs(snapshot: SnapshotFiles, encoder: ReplyEncoder) -> tuple[list[Example], list[float]]:
    """(chosen, rejected, chosen, rejected, ...) and each pair's weight: a ranking's, shared out among its pairs."""
    examples: list[Example] = []
    weights: list[float] = []
    for ranking in _training(snapshot):
        for better, worse in ranking.pairs:
            examples += [encoder.example(ranking.replies[index]) for index in (better, worse)]
            weights.append(ranking.pair_weight)
    if not weights:
        raise NothingToFit("preference pair")
    return examples, weights


def best(snapshot: SnapshotFiles, encoder: ReplyEncoder) -> list[Example]:
    """The best reply of each ranking that prefers one, with the ranking's weight; of a tie all, sharing it."""
    examples = []
    for ranking in _training(snapshot):
        first = _at_rank(ranking, min(ranking.ranks)) if ranking.pairs else []
        examples += [encoder.example(reply, ranking.weight / len(first)) for reply in first]
    teaching = [example for example in examples if any(example.answer)]
    if not teaching:
        raise NothingToFit("ranking that prefers a reply")
    return teaching


@dataclass(frozen=True)
class JudgedReply:
    """A reply that people found good, or bad."""

    reply: PlainReply
    is_good: bool


def judged(snapshot: SnapshotFiles, tokenizer: ChatTokenizer, max_prompt_tokens: int) -> list[JudgedReply]:
    """Good: ranked best, or a thumb up. Bad: ranked worst, a thumb down, or found to break a rule.

    A reply of several judgements is what most of their weight says; one that broke a rule is bad however it was
    ranked, and one on which they are even is left out.
    """
    votes: dict[PlainReply, float] = defaultdict(float)
    for reply, vote in (*_ranked_votes(snapshot), *_thumb_votes(snapshot, tokenizer, max_prompt_tokens)):
        votes[reply] += vote
    for reply in _rule_breakers(snapshot):
        votes[reply] = -1.0
    found = [JudgedReply(reply, vote > 0) for reply, vote in votes.items() if vote]
    if not found:
        raise NothingToFit("reply that was found good or bad")
    return found


def _training(snapshot: SnapshotFiles) -> Iterator[RankingRow]:
    return (ranking for ranking in snapshot.rankings if ranking.split == TRAIN)


def _at_rank(ranking: RankingRow, rank: int) -> list[PlainReply]:
    """Each text once."""
    return list(
        dict.fromkeys(reply for reply, found in zip(ranking.replies, ranking.ranks, strict=True) if found == rank)
    )


Votes = Iterable[tuple[PlainReply, float]]


def _ranked_votes(snapshot: SnapshotFiles) -> Votes:
    for ranking in _training(snapshot):
        if ranking.pairs:
            yield from ((reply, ranking.weight) for reply in _at_rank(ranking, min(ranking.ranks)))
            yield from ((reply, -ranking.weight) for reply in _at_rank(ranking, max(ranking.ranks)))


def _rule_breakers(snapshot: SnapshotFiles) -> list[PlainReply]:
    """Replies of which, for some rule, more of the weight says that they break it."""
    sums: dict[tuple[PlainReply, str], float] = defaultdict(float)
    for row in snapshot.violations:
        if row.split == TRAIN:
            sums[row.reply, row.rule] += row.weight if row.violates else -row.weight
    return list(dict.fromkeys(reply for (reply, _), total in sums.items() if total > 0))


def _thumb_votes(snapshot: SnapshotFiles, tokenizer: ChatTokenizer, max_prompt_tokens: int) -> Votes:
    """A thumb's line does not say how the reply ended: it counts as finished."""
    path = snapshot.directory / THUMBS
    lines = path.read_text().strip("\n").split("\n") if path.exists() else []  # a text may hold other ends of lines
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            prompt, text = freeze(row["prompt"]), str(row["completion"][-1]["content"])
            is_up, split = bool(row["label"]), row["split"]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BadSnapshot(path, f"line {number}: {error!r}") from error
        if split == TRAIN and _fits(prompt, tokenizer, max_prompt_tokens):
            yield PlainReply(prompt, text, finished=True), 1.0 if is_up else -1.0


def _fits(prompt: PromptMessages, tokenizer: ChatTokenizer, most: int) -> bool:
    """A thumb on a longer prompt is left out; rankings and flags have theirs cut."""
    return len(tokenizer.prompt_ids(thaw(prompt))) <= most


def balanced(replies: Sequence[JudgedReply]) -> tuple[float, float]:
    """(weight of the good, weight of the bad) that make both sides count alike; the rarer side's is above 1.

    Ethayarajh et al., arXiv:2402.01306, equation 8: the ratio of the weighted sides within 1..4/3.
    """
    good = sum(one.is_good for one in replies)
    bad = len(replies) - good
    if not good or not bad:
        return 1.0, 1.0
    return max(1.0, bad / good), max(1.0, good / bad)
