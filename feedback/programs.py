"""Whether judgements of programs are measured and weighed as people's are: only where programs stand for people."""

from django.conf import settings
from django.db.models import Q

from accounts.models import User
from feedback.models import Comparison, Ranking, TaskAnswer, Violation


def is_measured(row: User | Ranking | TaskAnswer | Comparison | Violation) -> bool:
    """Whether this account, or this judgement, is taken as a person's."""
    return bool(settings.FEEDBACK_MEASURES_PROGRAMS) or not row.is_simulated


def measured() -> Q:
    """Of judgements and of accounts: those that are measured."""
    return Q() if settings.FEEDBACK_MEASURES_PROGRAMS else Q(is_simulated=False)
