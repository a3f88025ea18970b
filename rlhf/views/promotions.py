"""Page of a promotion, for whoever is signed in: what changed, by two examples and by figures, and who did it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.requests import person
from rlhf.models import Evaluation, Promotion
from rlhf.release import promotion_notices, samples


@require_safe
def promotion_page(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Promotion.objects.select_related("policy", "previous", "actor", "decision__evaluation__baseline")
    shown = get_object_or_404(rows, pk=pk)
    evaluation = _evaluation_of(shown)
    is_rollback = shown.kind == Promotion.Kind.ROLLBACK
    counts = promotion_notices.judgements_of_each(shown.policy)
    context = {
        "promotion": shown,
        "is_rollback": is_rollback,
        "evaluation": evaluation,
        "report": evaluation.report if evaluation is not None else {},
        "examples": samples.examples(evaluation.report) if evaluation is not None else [],
        "judgements": counts.total(),
        "judges": len(counts),
        "own_judgements": counts[person(request).pk],
    }
    return render(request, "rlhf/promotion.html", context)


def _evaluation_of(shown: Promotion) -> Evaluation | None:
    """The one that the gate decided on; of a forced promotion the newest against the policy before it."""
    if shown.kind == Promotion.Kind.ROLLBACK:
        return None
    if shown.decision is not None:
        return shown.decision.evaluation
    return shown.policy.evaluations.filter(baseline=shown.previous).select_related("baseline").order_by("-pk").first()
