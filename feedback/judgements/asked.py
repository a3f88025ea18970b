"""What the page of a task asks of each reply: the rule, and of a dialogue with one reply whether it refuses."""

from feedback.errors import RefusalMissing
from feedback.judgements.judgement import Checked
from feedback.models import Probe, RankingTask


def probe_of(task: RankingTask) -> Probe | None:
    """The probe whose last reply the task asks about. Nobody who judges it is told that there is one."""
    probe: Probe | None = getattr(task, "probe", None)
    return probe


def rule_of(task: RankingTask) -> int | None:
    """The id of the rule that is asked about: that of its probe, else the one that its prompt tempts to break."""
    probe = probe_of(task)
    return probe.rule_id if probe is not None else task.prompt.elicits_id


def group_of(task: RankingTask) -> str:
    """The group of that rule; empty without one."""
    probe = probe_of(task)
    rule = probe.rule if probe is not None else task.prompt.elicits
    return rule.group if rule is not None else ""


def asks_for_refusal(task: RankingTask) -> bool:
    """Of probes and of their harmless twins alike: the question tells nobody which of them it is."""
    return probe_of(task) is not None


def check_refusal(task: RankingTask, checked: Checked) -> None:
    """Raises RefusalMissing."""
    if asks_for_refusal(task) and not checked.refusal:
        raise RefusalMissing
