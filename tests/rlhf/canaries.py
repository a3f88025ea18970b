"""Rows of a canary: a candidate that passed, a canary that began days ago, choices and flags of people."""

from datetime import timedelta

from django.utils import timezone

from chat import policies
from chat.models import EngineProcess, Policy
from feedback.models import Comparison, Violation
from rlhf.models import Canary, Decision, Evaluation, Run
from rlhf.release import canary
from tests.feedback.conversation_rows import make_pair, talk
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy

DAYS_AGO = 5


def candidate(base, folder, name="heron-2"):
    return policies.register(write_policy(folder / name, mark=name), name=name, source="test", base=base)


def decide(policy, baseline, passed=True):
    run = Run.objects.create(kind=Run.Kind.EVALUATION, state="succeeded", policy=policy, base_policy=baseline)
    evaluation = Evaluation.objects.create(run=run, policy=policy, baseline=baseline, judge="test", report={})
    return Decision.objects.create(evaluation=evaluation, passed=passed)


def begun(policy, **options) -> Canary:
    """As if it had begun some days ago, with an engine that is ready."""
    made = canary.begin(policy, **{"percent": 10, **options})
    made.started_at = timezone.now() - timedelta(days=DAYS_AGO)
    made.save()
    EngineProcess.objects.create(policy=policy, state=EngineProcess.State.READY, started_at=made.started_at)
    return made


def choose(made, name, choice, hours=0.0, may_train=True, **fields) -> Comparison:
    """The person's choice so many hours after the canary began: win, lose, tie or both_bad. The candidate is right in
    every second pair."""
    person = feedback_rows.annotator(name)
    is_left = Comparison.objects.count() % 2 == 0
    sides = (made.policy, made.baseline) if is_left else (made.baseline, made.policy)
    pair = make_pair(person, policies=sides, may_train=may_train)
    side = {"win": "left" if is_left else "right", "lose": "right" if is_left else "left"}.get(choice, choice)
    at = made.started_at + timedelta(hours=hours)
    return Comparison.objects.create(pair=pair, annotator=person, choice=side, created_at=at, **fields)


def many(made, choice, people, start=0) -> None:
    for number in range(start, start + people):
        choose(made, f"person-{number}", choice, hours=number / 10)


def reply(made, name, policy: Policy, hours=0.0, flagged_after=None, may_train=True) -> None:
    person = feedback_rows.annotator(name)
    message = talk(person, "Hi", "Hello", policy=policy, may_train=may_train)[1]
    ended = made.started_at + timedelta(hours=hours)
    message.reply.ended_at = ended
    message.reply.save()
    if flagged_after is not None:
        Violation.objects.create(
            rule_version=feedback_rows.rule(),
            message=message,
            annotator=person,
            created_at=ended + timedelta(hours=flagged_after),
        )
