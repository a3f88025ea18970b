"""How the earlier reports of people were decided."""

from collections.abc import Iterable

from django.db.models import Count, Q

from feedback.models import Report
from feedback.moderation.priority import Record

UPHELD = Q(state=Report.State.DECIDED)
DISMISSED = Q(state=Report.State.DISMISSED)


def of(reporters: Iterable[int]) -> dict[int, Record]:
    """By the id of the reporter, in one query; who has none of them decided is left out."""
    decided = Report.objects.filter(UPHELD | DISMISSED, reporter__in=set(reporters)).order_by()
    counted = decided.values_list("reporter").annotate(
        upheld=Count("pk", filter=UPHELD), dismissed=Count("pk", filter=DISMISSED)
    )
    return {reporter: Record(upheld, dismissed) for reporter, upheld, dismissed in counted}
