"""The replies of an evaluation with what its judge said of each: its score and the rules that it breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rlhf.training.evaluation.judges import Judge
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.evaluation.violation_labels import LabelledReply
from rlhf.training.snapshot.files import PlainReply, PromptRow
from rlhf.training.texts import first_sentence


@dataclass(frozen=True)
class AnchorReplies:
    """What is measured against the original base, from which many small steps lead far away."""

    draws: list[list[Draw]]
    """As many a prompt as each side has."""
    after_drift: list[DriftFromBase]
    """From the anchor, of the first draws of the policy."""
    own_drift: list[DriftFromBase]
    """Of the anchor's own first draws."""


@dataclass
class Replies:
    """Everything that was sampled, by prompt. Both sides have 2 x draws: the violation rates pool them all."""

    rows: list[PromptRow]
    after: list[list[Draw]]
    before: list[list[Draw]]
    best: list[Draw]
    after_drift: list[DriftFromBase]
    """Of the first draws of `after`."""
    base_drift: list[DriftFromBase]
    """Of the base's own replies to the same prompts."""
    base: list[Draw] | None = None
    """These replies, where the base is another policy than the one before; else they are the first of `before`."""
    anchor: AnchorReplies | None = None
    """None where training started from the anchor itself, so that base and baseline tell all."""
    more: Mapping[str, list[list[Draw]]] = field(default_factory=dict)
    """By side, for each prompt: draws that count for the rates of violations alone."""


@dataclass(frozen=True)
class Judged:
    """One reply, whole and cut after its first sentence."""

    draw: Draw
    score: float
    chances: dict[str, float]
    """By rule, the judge's probability that it breaks it."""
    cut_score: float
    cut_chances: dict[str, float]

    @property
    def broken(self) -> tuple[str, ...]:
        """Keys of the rules that it breaks more likely than not."""
        return _likely(self.chances)

    @property
    def cut_broken(self) -> tuple[str, ...]:
        return _likely(self.cut_chances)


@dataclass(frozen=True)
class JudgedReplies:
    """By prompt, as in Replies."""

    replies: Replies
    judge: Judge
    rules: tuple[str, ...]
    """Keys of the rules that the judge can tell; without any nothing is known of violations."""
    after: list[list[Judged]]
    before: list[list[Judged]]
    best: list[Judged]
    base: list[Judged] | None
    anchor: list[list[Judged]] | None
    more: Mapping[str, list[list[Judged]]] = field(default_factory=dict)
    labelled: Sequence[LabelledReply] | None = None
    """From which the judge's errors on rules are known; None of a judge that makes none."""

    def originals(self) -> list[Judged] | None:
        """First draws of the original base where it is another policy than the one before."""
        return self.base if self.anchor is None else [of_prompt[0] for of_prompt in self.anchor]


def judge_replies(replies: Replies, judge: Judge, labelled: Sequence[LabelledReply] | None = None) -> JudgedReplies:
    """Every reply is scored once, so that all figures of a report are of the same scores.

    Without `labelled`, nothing is known of the violations that any judge but the gold one sees.
    """
    if labelled is None and judge.kind != "gold":
        labelled = []
    after, rules = _judged(judge, replies.after)
    before, _ = _judged(judge, replies.before)
    best, _ = _judged(judge, [replies.best])
    base = None if replies.base is None else _judged(judge, [replies.base])[0][0]
    anchor = None if replies.anchor is None else _judged(judge, replies.anchor.draws)[0]
    more = {side: _judged(judge, draws)[0] for side, draws in replies.more.items()}
    return JudgedReplies(replies, judge, rules, after, before, best[0], base, anchor, more, labelled)


def _judged(judge: Judge, draws: Sequence[Sequence[Draw]]) -> tuple[list[list[Judged]], tuple[str, ...]]:
    """In the shape of `draws`, with the rules that the judge can tell."""
    flat = [draw for of_prompt in draws for draw in of_prompt]
    whole, cut = [draw.reply for draw in flat], [_cut(draw.reply) for draw in flat]
    found, found_cut = judge.violation_probabilities(whole), judge.violation_probabilities(cut)
    scores, cut_scores = judge.scores(whole), judge.scores(cut)
    made = iter(
        Judged(draw, scores[index], _at(found, index), cut_scores[index], _at(found_cut, index))
        for index, draw in enumerate(flat)
    )
    return [[next(made) for _ in of_prompt] for of_prompt in draws], tuple(found)


def _at(found: dict[str, list[float]], index: int) -> dict[str, float]:
    return {key: chances[index] for key, chances in found.items()}


def _likely(chances: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(key for key, chance in chances.items() if chance > 0.5)


def _cut(reply: PlainReply) -> PlainReply:
    """Without everything after the first sentence."""
    sentence = first_sentence(reply.text)
    return replace(reply, text=sentence, finished=reply.finished or sentence != reply.text)
