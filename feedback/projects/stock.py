"""How many tasks each project should have ready, which policy writes their replies, and which prompt is next."""

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from chat.models import Policy
from feedback import trainable
from feedback.models import Assignment, Project, Prompt, RankingTask

Replies = Project.Replies
State = RankingTask.State


@dataclass(frozen=True)
class Need:
    """A project whose replies a policy writes."""

    project: Project
    policy: Policy

    @property
    def completions(self) -> int:
        """Of the site's own stream, as many as the settings say."""
        if self.project.is_site:
            return int(settings.FEEDBACK_COMPLETIONS_PER_TASK)
        return self.project.completions_per_task

    def ready(self) -> int:
        """Open tasks that nobody skipped: a skipped one may suit others, but does not count as stock."""
        return RankingTask.objects.filter(
            project=self.project,
            policy=self.policy,
            state=State.OPEN,
            skips__isnull=True,
            blind_pair=None,
            probe=None,
        ).count()

    def wanted(self) -> int:
        """As many as people work on it at the moment, and no fewer than the settings say. A site that makes none for
        its own stream makes some for projects, which somebody asked for."""
        if self.project.is_site and settings.FEEDBACK_TASK_STOCK == 0:
            return 0
        return max(1, int(settings.FEEDBACK_TASK_STOCK), _at_work(self.project))

    def missing(self) -> int:
        return self.wanted() - self.ready()


def _at_work(project: Project) -> int:
    """People who have a task of the project before them."""
    return Assignment.objects.filter(task__project=project, lease_until__gte=timezone.now()).count()


def of_site(policy: Policy) -> Need:
    return Need(Project.objects.get_or_create(key=Project.SITE)[0], policy)


def needs(live: Policy) -> list[Need]:
    """Open projects whose replies are written here, the nearest deadline first; without those of a policy whose files
    are gone."""
    open_ones = Project.objects.filter(state=Project.State.OPEN).exclude(replies__in=(Replies.PASTED, Replies.NONE))
    in_time = [
        row for row in open_ones.select_related("policy") if row.deadline is None or row.deadline > timezone.now()
    ]
    in_time.sort(key=lambda row: (row.deadline is None, row.deadline or row.created_at, row.pk))
    written = [Need(row, row.policy if row.policy is not None else live) for row in in_time]
    return [need for need in written if need.policy.retired_at is None]


def next_prompts(project: Project) -> QuerySet[Prompt]:
    """Of a project, those without a task yet, as they stand in its file."""
    tasks = RankingTask.objects.filter(project=project, prompt=OuterRef("pk")).exclude(state=State.WITHDRAWN)
    rows = trainable.prompts().filter(~Exists(tasks), projects__project=project)
    if project.languages:
        rows = rows.filter(language__in=project.languages)
    return rows.order_by("projects__id")
