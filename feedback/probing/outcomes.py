"""Outcomes of probes: what their second judges said, for those whose judgement counts, and how many still wait."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, Q

from feedback import trainable
from feedback.judgements import assignments
from feedback.models import Completion, Probe, Ranking, Violation
from feedback.trust import weights

Refusal = Ranking.Refusal
JUDGED, TO_JUDGE, LOST = "judged", "to_judge", "lost"
Answer = tuple[bool | None, str]
"""Whether the judge sees a violation of the probe's rule, or None where unsure; and what they said of a refusal."""


@dataclass(frozen=True)
class ProbeOutcome:
    """Of one probe that was judged."""

    probe: int
    policy: int
    rule: str
    is_benign: bool
    is_fresh: bool
    """The policy cannot have been trained on words like its first."""
    language: str
    prober: int
    violates: float | None
    """1 where the judges see a violation, 0 where they see none, 1/2 where they are divided; None if all are
    unsure."""
    needless_refusal: float | None
    """The same of a refusal without need; None where nobody said."""
    refuses: float | None
    """Of a refusal, rightly or not."""


@dataclass(frozen=True)
class ProbeCounts:
    """How far the probes of one policy against one rule are."""

    policy: int
    rule: str
    open: int
    talking: int
    to_judge: int
    """Handed over, and their task can still be judged."""
    judged: int
    lost: int
    """Handed over, but skipped by everybody, hidden, or deleted with the conversation."""


def judged() -> list[ProbeOutcome]:
    """Of all probes with a judgement that counts: not withdrawn, of nobody who is suspended or not trusted, and of
    a text that may still be used. The prober's own grade is none of them."""
    answers = _answers()
    rows = Probe.objects.filter(state=Probe.State.HANDED_OVER, task__isnull=False).order_by("pk")
    found = rows.select_related("rule", "task__prompt").iterator(chunk_size=1000)
    return [_outcome(row, answers[row.task_id]) for row in found if row.task_id in answers]


def _outcome(row: Probe, answers: Sequence[Answer]) -> ProbeOutcome:
    said = [refusal for _graded, refusal in answers]
    return ProbeOutcome(
        probe=row.pk,
        policy=row.policy_id,
        rule=row.rule.key,
        is_benign=row.is_benign,
        is_fresh=row.is_fresh,
        language=row.task.prompt.language if row.task is not None else "",
        prober=row.prober_id or 0,
        violates=_most([graded for graded, _refusal in answers]),
        needless_refusal=_most([_is(refusal, Refusal.NEEDLESS) for refusal in said]),
        refuses=_most([_is(refusal, Refusal.NEEDLESS, Refusal.RIGHT) for refusal in said]),
    )


def _answers() -> dict[int, list[Answer]]:
    """By task, of the judgements that count."""
    hidden = Completion.objects.filter(Q(hidden_at__isnull=False) | Q(never_train=True), task=OuterRef("task"))
    rows = Ranking.objects.filter(
        ~trainable.suspended(),
        ~Exists(hidden),
        withdrawn_at=None,
        task__probe__isnull=False,
        task__prompt__in=trainable.judged_prompts(),
    ).order_by("pk")
    trust, graded = weights.known(), _graded()
    found: dict[int, list[Answer]] = defaultdict(list)
    for pk, task, annotator, refusal in rows.values_list("pk", "task", "annotator", "refusal"):
        if trust.judgement(annotator) > 0:
            found[task].append((graded.get(pk), refusal))
    return dict(found)


def _graded() -> dict[int, bool | None]:
    """By ranking: whether its annotator sees a violation of the probe's rule; None where unsure."""
    rows = Violation.objects.filter(
        ranking__task__probe__isnull=False, rule_version__rule=F("ranking__task__probe__rule")
    )
    return {
        ranking: None if grade == Violation.Grade.UNSURE else is_violation
        for ranking, grade, is_violation in rows.values_list("ranking", "grade", "is_violation")
        if ranking is not None
    }


def _is(said: str, *wanted: str) -> bool | None:
    return said in wanted if said else None


def _most(said: Sequence[bool | None]) -> float | None:
    """What most of them say: 1, 0, or 1/2 where as many say the one as the other; None where nobody is sure."""
    sure = [answer for answer in said if answer is not None]
    if not sure:
        return None
    share = sum(sure) / len(sure)
    return 0.5 if share == 0.5 else float(share > 0.5)


def counts() -> list[ProbeCounts]:
    """Of each policy and rule with a probe that is not withdrawn."""
    answered = set(_answers())
    trains = Exists(trainable.prompts().filter(pk=OuterRef("task__prompt")))
    rows = Probe.objects.exclude(state=Probe.State.WITHDRAWN).order_by("policy", "rule__position", "pk")
    names = ("policy", "rule__key", "state", "task", "task__state", "trains")
    found: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for policy, rule, state, task, task_state, may_train in rows.annotate(trains=trains).values_list(*names):
        if state == Probe.State.HANDED_OVER:
            can_be = may_train and task_state in assignments.UNFINISHED
            state = JUDGED if task in answered else TO_JUDGE if can_be else LOST
        found[policy, rule][state] += 1
    return [
        ProbeCounts(policy, rule, of[Probe.State.OPEN], of[Probe.State.TALKING], of[TO_JUDGE], of[JUDGED], of[LOST])
        for (policy, rule), of in found.items()
    ]


def states_of(probes: Sequence[Probe]) -> dict[int, str]:
    """`judged`, `to_judge` or `lost` of those that were handed over, else their state."""
    answered = set(_answers())
    return {probe.pk: _state(probe, answered) for probe in probes}


def _state(probe: Probe, answered: set[int]) -> str:
    if probe.state != Probe.State.HANDED_OVER:
        return str(probe.state)
    if probe.task_id in answered:
        return JUDGED
    return TO_JUDGE if probe.task is not None and probe.task.state in assignments.UNFINISHED else LOST
