"""How far those who judged a task disagree, and whether a lead has to decide."""

from feedback.models import BlindPair, Ranking, RankingTask, TaskAnswer
from feedback.questions.kind import Said
from feedback.questions.kinds import KINDS


def note(task: RankingTask) -> None:
    """Sets the disagreement of a task that was judged as often as it asks, and whether it waits for a lead; stores
    nothing. What a lead has decided stays decided."""
    kind = KINDS[task.project.question]
    said = [one for _person, one in given(task)]
    task.disagreement = kind.disagreement(said) if len(said) > 1 else None
    if task.lead == RankingTask.Lead.DECIDED:
        return
    is_wide = kind.threshold is not None and (task.disagreement or 0.0) >= kind.threshold
    is_pair = is_wide and BlindPair.objects.filter(task=task).exists()  # these are counted, not decided
    task.lead = RankingTask.Lead.WAITING if is_wide and not is_pair else RankingTask.Lead.NOT_NEEDED


def given(task: RankingTask) -> list[tuple[int, Said]]:
    """(person, what they said) of each judgement that stands, without a lead's decision, the first one first."""
    own = {"task": task, "withdrawn_at": None, "is_adjudication": False}
    if KINDS[task.project.question].is_order:
        return [(row.annotator_id, _said_by(row)) for row in Ranking.objects.filter(**own).order_by("pk")]
    return list(TaskAnswer.objects.filter(**own).order_by("pk").values_list("annotator", "said"))


def _said_by(made: Ranking) -> Said:
    return {"ranks": made.ranks, "strength": made.strength, "overall": made.overall}
