"""Gives each evaluation its place among the site's decisions, and the level that is left for it."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Max, OuterRef

from rlhf.models import Decision, Evaluation
from rlhf.release import error_budget

ATTEMPTS = 5


def give(evaluation: Evaluation) -> None:
    """Once: whoever asks again, asks the same question of the same replies. Promotions that an admin forced, and
    decisions of before levels were kept, spend and earn nothing."""
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                _give(evaluation)
            return
        except IntegrityError:  # another evaluation took the number
            if attempt == ATTEMPTS - 1:
                raise


def _give(evaluation: Evaluation) -> None:
    known = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
    if known.number is None:
        past = _past()
        known.number = len(past) + 1
        known.level = error_budget.level(past, settings.GATE["false_promotions_max"])
        known.save(update_fields=["number", "level"])
    evaluation.number, evaluation.level = known.number, known.level


def _past() -> list[bool]:
    """Whether the candidate passed, for each number so far; one whose row is gone did not."""
    did_pass = Exists(Decision.objects.filter(evaluation=OuterRef("pk"), passed=True))
    rows = Evaluation.objects.filter(number__isnull=False)
    count = rows.aggregate(last=Max("number"))["last"] or 0
    passed = set(rows.filter(did_pass).values_list("number", flat=True))
    return [number in passed for number in range(1, count + 1)]
