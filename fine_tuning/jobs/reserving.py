"""What is kept in budgets for jobs that wait or are trained, until they are billed or cancelled (METERING_HELD)."""

from django.db.models import Q

from fine_tuning.jobs import plan
from fine_tuning.models import FineTune
from metering.models import Budget

State = FineTune.State


def held(budget: Budget) -> int:
    """Nano-dollars, at the prices of now: a job is billed at those of its end."""
    whose = Q(key=budget.key_id) if budget.key_id else Q(owner=budget.user_id)
    jobs = FineTune.objects.filter(whose, state__in=(State.QUEUED, State.RUNNING))
    return sum(cost_of(job) for job in jobs.select_related("base_policy"))


def cost_of(job: FineTune) -> int:
    """Of a job that was counted."""
    return plan.cost(job.model, job.base_policy, plan.course_of(job).trained_tokens)
