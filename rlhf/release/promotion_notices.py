"""Notices of promotions and rollbacks to people who chat; those whose judgements trained the policy read how many."""

from collections import Counter
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accounts import notices
from chat.models import Conversation, Policy
from feedback.models import Comparison, Ranking
from rlhf.models import Promotion, Run, Snapshot

BATCH = 500


def send(promotion: Promotion) -> None:
    """In the transaction of the promotion. The first base policy is no news: nobody has chatted with another."""
    if promotion.kind == Promotion.Kind.BASE or promotion.previous is None:
        return
    about, link = f"promotion:{promotion.pk}", reverse("promotion", args=[promotion.pk])
    if promotion.kind == Promotion.Kind.ROLLBACK:
        told = {"policy": promotion.policy.name, "former": promotion.previous.name}
        notices.send(notices.Kind.POLICY_ROLLED_BACK, dict.fromkeys(_chatters(), told), about=about, link=link)
        return
    counts = judgements_of_each(promotion.policy)
    told_of: dict[int, dict[str, Any]] = {
        pk: {"policy": promotion.policy.name, "judgements": counts[pk]} for pk in _chatters() | set(counts)
    }
    notices.send(notices.Kind.POLICY_PROMOTED, told_of, about=about, link=link)


def _chatters() -> set[int]:
    """People with a conversation that they have not deleted."""
    return set(Conversation.objects.filter(deleted_at=None).values_list("owner", flat=True).distinct().order_by())


def judgements_of_each(policy: Policy) -> Counter[int]:
    """By the id of each person: their rankings and choices in the snapshot that the policy was trained on.

    Those on held-out prompts are among them: they trained the judge that compared the policy with the one before.
    """
    snapshot = _snapshot_of(policy)
    if snapshot is None:
        return Counter()
    return _by_annotator(Ranking.objects.all(), snapshot.ranking_ids) + _by_annotator(
        Comparison.objects.all(), snapshot.comparison_ids
    )


def _snapshot_of(policy: Policy) -> Snapshot | None:
    """What the policy was trained on; None of a base policy, and of one that somebody made from data of their own."""
    run = policy.runs.filter(kind=Run.Kind.POLICY).exclude(snapshot=None).select_related("snapshot").first()
    return run.snapshot if run is not None else None


def _by_annotator(rows: QuerySet[Any], ids: list[int]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for start in range(0, len(ids), BATCH):
        counts.update(rows.filter(pk__in=ids[start : start + BATCH]).values_list("annotator", flat=True))
    return counts
