"""Reserves budget for queued and running jobs until they are billed or cancelled (settings.METERING_HELD)."""

from django.db.models import Q

from fine_tuning.jobs import plan
from fine_tuning.models import FineTune
from metering.models import Budget

State = FineTune.State


def held(budget: Budget) -> int:
    """Nano-dollars at today's prices; a job is billed at those when it ends."""
    whose = Q(key=budget.key_id) if budget.key_id else Q(owner=budget.user_id)
    jobs = FineTune.objects.filter(whose, state__in=(State.QUEUED, State.RUNNING))
    return sum(cost_of(job) for job in jobs.select_related("base_policy"))


def cost_of(job: FineTune) -> int:
    """Nano-dollars of a job whose tokens were counted."""
    return plan.cost_of_tokens(job.model, job.base_policy, plan.workload_of(job).trained_tokens)
