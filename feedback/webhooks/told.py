"""What a submitted ranking tells webhooks: the ranking, its flags, and whether its project is finished by it."""

from feedback.models import Project, Ranking, RankingTask, Webhook
from feedback.projects import stock
from feedback.webhooks import events

OPEN = (RankingTask.State.OPEN, RankingTask.State.LEASED)


def of_ranking(made: Ranking) -> None:
    """In the transaction in which it is stored."""
    if not Webhook.objects.filter(is_on=True).exists():
        return
    broken = made.violations.filter(is_violation=True, completion__isnull=False)
    events.ranking_submitted(made, list(broken.values_list("completion", "rule_version__rule__key")))
    if _is_finished(made.task.project):
        events.project_finished(made.task.project)


def _is_finished(project: Project) -> bool:
    """Nothing waits, and nothing is still to be made. The site's own stream never ends."""
    if project.is_site or RankingTask.objects.filter(project=project, state__in=OPEN).exists():
        return False
    return project.replies == Project.Replies.PASTED or not stock.next_prompts(project).exists()
