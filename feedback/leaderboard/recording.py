"""Records judgements between two policies as votes, once each: their sides, score, language and style."""

from collections.abc import Iterable
from dataclasses import asdict

from django.db.models import Exists, F, OuterRef

from feedback import trainable
from feedback.leaderboard import style
from feedback.models import Comparison, Ranking, Vote
from feedback.prompts import language_of

AT_ONCE = 2000
"""Votes that one call records: their texts are in memory together."""
SCORES = {
    Comparison.Choice.LEFT: 1.0,
    Comparison.Choice.RIGHT: 0.0,
    Comparison.Choice.TIE: 0.5,
    Comparison.Choice.BOTH_BAD: 0.5,
}


def record(limit: int = AT_ONCE) -> int:
    """How many were new. What somebody else recorded at the same moment is left as it is."""
    made = [*_of_comparisons(limit), *_of_blind_pairs(limit)]
    Vote.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)


def _of_comparisons(limit: int) -> Iterable[Vote]:
    """Choices in the chat between two policies."""
    rows = (
        trainable.comparisons()
        .filter(~Exists(Vote.objects.filter(comparison=OuterRef("pk"))))
        .filter(pair__left__policy__isnull=False, pair__right__policy__isnull=False)
        .exclude(pair__left__policy=F("pair__right__policy"))
        .select_related("pair__message", "pair__left__message", "pair__right__message")
    )
    for row in rows.order_by("pk")[:limit]:
        left, right = row.pair.left, row.pair.right
        assert left.policy_id is not None
        assert right.policy_id is not None
        yield Vote(
            comparison=row,
            left_id=left.policy_id,
            right_id=right.policy_id,
            score=SCORES[Comparison.Choice(row.choice)],
            language=language_of(row.pair.message.text),
            at=row.created_at,
            **asdict(style.difference(left.message.text, right.message.text)),
        )


def _of_blind_pairs(limit: int) -> Iterable[Vote]:
    """Judgements of blind pairs, once their round is closed: until then a new vote would tell its sides. Rankings of
    other tasks say nothing here, since one policy wrote all replies of a task."""
    rows = (
        trainable.rankings()
        .filter(~Exists(Vote.objects.filter(ranking=OuterRef("pk"))))
        .filter(task__blind_pair__round__closed_at__isnull=False)
        .select_related("task__blind_pair__round", "task__prompt")
        .prefetch_related("task__completions")
    )
    for row in rows.order_by("pk")[:limit]:
        yield _blind_vote(row)


def _blind_vote(row: Ranking) -> Vote:
    """The candidate stands on the left."""
    pair = row.task.blind_pair
    own, other = sorted(row.task.completions.all(), key=lambda reply: reply.pk != pair.candidate_id)
    rank, against = row.ranks[str(own.pk)], row.ranks[str(other.pk)]
    return Vote(
        ranking=row,
        left_id=pair.round.candidate_id,
        right_id=pair.round.baseline_id,
        score=0.5 if rank == against else float(rank < against),
        language=row.task.prompt.language,
        at=row.created_at,
        **asdict(style.difference(own.text, other.text)),
    )
