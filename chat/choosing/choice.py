"""Decides which of several completions is shown, and why each of the others is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chat.choosing.client import CompletionScore
from chat.choosing.combination import rank_scores
from chat.engines.engine import Piece, Token
from chat.errors import ScorerDown
from chat.models import Candidate

Reason = Candidate.Reason


@dataclass(frozen=True)
class DrawnCompletion:
    """What an engine wrote."""

    text: str = ""
    """After what the reply had to begin with."""
    finish_reason: str = ""
    """Empty while it is being written."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens: tuple[Token, ...] = ()
    pieces: int = 0

    def with_piece(self, piece: Piece) -> "DrawnCompletion":
        return DrawnCompletion(
            self.text + piece.text,
            piece.finish_reason or self.finish_reason,
            piece.prompt_tokens or self.prompt_tokens,
            piece.completion_tokens or self.completion_tokens,
            self.tokens + piece.tokens,
            self.pieces + bool(piece.text),
        )


@dataclass(frozen=True)
class JudgedCompletion:
    """A completion with what was found about it."""

    completion: DrawnCompletion
    reason: Reason
    is_chosen: bool = False
    scored: CompletionScore | None = None
    rank_score: float | None = None
    left_out_by: str = ""


def unfinished(completions: Sequence[DrawnCompletion]) -> list[JudgedCompletion]:
    """None of them is shown."""
    return [JudgedCompletion(one, Reason.UNFINISHED) for one in completions]


def unjudged(
    completions: Sequence[DrawnCompletion], scored: Sequence[CompletionScore] | None
) -> list[JudgedCompletion]:
    """None of them is shown, since a guard failed."""
    return [
        JudgedCompletion(one, Reason.UNSCORED, scored=scored[number] if scored else None)
        for number, one in enumerate(completions)
    ]


def decide(
    completions: Sequence[DrawnCompletion],
    scored: Sequence[CompletionScore] | None,
    refused: Mapping[int, str],
    thresholds: Mapping[str, float],
) -> list[JudgedCompletion]:
    """One of them is chosen, unless all are left out.

    `scored`: None where the scorer failed; without `thresholds` the first completion is chosen then. `refused`: rules
    of other guards that blocked a completion, by its number. Raises ScorerDown where a rule is guarded that
    nobody can tell.
    """
    if scored is None:
        if thresholds:
            raise ScorerDown("there is no scorer, and rules are guarded")
        judged = [JudgedCompletion(one, Reason.UNSCORED) for one in completions]
        return _chosen(_without(judged, refused, Reason.GUARD), Reason.FIRST)
    rules = sorted({rule for one in scored for rule in one.violations})
    ranks = rank_scores([one.score for one in scored], [[one.violations[rule] for rule in rules] for one in scored])
    judged = [
        JudgedCompletion(completion, Reason.LOWER, False, one, rank)
        for completion, one, rank in zip(completions, scored, ranks, strict=True)
    ]
    broken = {number: rule for number, one in enumerate(scored) if (rule := _broken(one, thresholds))}
    kept = _without(_without(judged, broken, Reason.RULE), refused, Reason.GUARD)
    return _chosen(kept, Reason.BEST if len(completions) > 1 else Reason.ONLY)


def chosen(judged: Sequence[JudgedCompletion]) -> JudgedCompletion | None:
    return next((one for one in judged if one.is_chosen), None)


def blocking_rule(judged: Sequence[JudgedCompletion]) -> str:
    """The rule or guard that left out the best of them, where all were."""
    return max(judged, key=lambda one: one.rank_score or 0.0).left_out_by


def _broken(scored: CompletionScore, thresholds: Mapping[str, float]) -> str:
    """The guarded rule whose limit is exceeded furthest; empty if none is."""
    unknown = thresholds.keys() - scored.violations.keys()
    if unknown:
        raise ScorerDown(f"the reward model cannot tell {', '.join(sorted(unknown))}")
    beyond = {rule: scored.violations[rule] - limit for rule, limit in thresholds.items()}
    worst = max(beyond, key=lambda rule: beyond[rule], default="")
    return worst if worst and beyond[worst] > 0 else ""


def _without(
    judged: Sequence[JudgedCompletion], left_out: Mapping[int, str], reason: Reason
) -> list[JudgedCompletion]:
    return [
        replace(one, reason=reason, left_out_by=left_out[number]) if number in left_out else one
        for number, one in enumerate(judged)
    ]


def _chosen(judged: Sequence[JudgedCompletion], reason: Reason) -> list[JudgedCompletion]:
    """The first with the highest rank score among those that were not left out."""
    left = [one for one in judged if not one.left_out_by]
    if not left:
        return list(judged)
    best = max(left, key=lambda one: one.rank_score or 0.0)
    return [replace(one, is_chosen=True, reason=reason) if one is best else one for one in judged]
