"""Care for annotators: which tasks they do not want to read, how many harmful ones a day, and when a break is due."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from base.dates import start_of_today
from feedback.models import JudgingChoices, Probe, Ranking, Rule, Skip, TaskAnswer
from feedback.rules import GROUPS, HARMFUL_GROUPS

PAUSE = timedelta(minutes=10)
"""Without a judgement for so long, judging began anew."""
LOOKED_BACK = timedelta(hours=6)
MOST_A_DAY = 1000
MOST_MINUTES = 600


def choices_of(annotator: User) -> JudgingChoices:
    """Not stored, where nothing was chosen yet."""
    return JudgingChoices.objects.filter(annotator=annotator).first() or JudgingChoices(annotator=annotator)


def choose(
    annotator: User,
    rules: Collection[str],
    groups: Collection[str],
    harmful_a_day: int | None,
    break_after_minutes: int | None,
) -> None:
    """Stores what the annotator chose; rules and groups that do not exist are left out of it."""
    known = Rule.objects.filter(key__in=rules).order_by("position", "pk").values_list("key", flat=True)
    chosen = {
        "left_out_rules": list(known),
        "left_out_groups": [group for group in GROUPS if group in groups],
        "harmful_a_day": harmful_a_day,
        "break_after_minutes": break_after_minutes,
    }
    JudgingChoices.objects.update_or_create(annotator=annotator, defaults=chosen)


def bearable(annotator: User, now: datetime) -> Q:
    """The ranking tasks that may be offered: without what the person left out, and without harmful ones once there
    were enough of them today."""
    chosen = choices_of(annotator)
    groups = _unwanted_groups(annotator, chosen, now)
    wanted = Q()
    for rule in ("prompt__elicits", "probe__rule", "project__rule"):
        wanted &= _without(rule, chosen, groups)
    return wanted


def bearable_probes(annotator: User, now: datetime) -> Q:
    """The probes that may be offered, by the same choices: who probes reads what the policy answers."""
    chosen = choices_of(annotator)
    return _without("rule", chosen, _unwanted_groups(annotator, chosen, now))


def _unwanted_groups(annotator: User, chosen: JudgingChoices, now: datetime) -> set[str]:
    return set(chosen.left_out_groups) | (HARMFUL_GROUPS if _is_enough(annotator, chosen, now) else set())


def _without(rule: str, chosen: JudgingChoices, groups: Collection[str]) -> Q:
    """Without what is of an unwanted rule; `rule` is the path to it, which may lead nowhere."""
    unwanted = Q(**{f"{rule}__key__in": chosen.left_out_rules}) | Q(**{f"{rule}__group__in": groups})
    return Q(**{f"{rule}__isnull": True}) | ~unwanted


def harmful_limit(chosen: JudgingChoices) -> int | None:
    """Tasks a day: the person's own limit, never above that of the site; None where there is neither."""
    limits = [limit for limit in (settings.FEEDBACK_HARMFUL_A_DAY or None, chosen.harmful_a_day) if limit is not None]
    return min(limits, default=None)


def _read_today(annotator: User, now: datetime) -> int:
    """Harmful tasks that the person judged or skipped today, and probes against such rules that they took."""
    today = start_of_today()
    harmful = Q(task__prompt__elicits__group__in=HARMFUL_GROUPS) | Q(task__probe__rule__group__in=HARMFUL_GROUPS)
    own = {"annotator": annotator, "created_at__lte": now, "created_at__gte": today}
    taken = Probe.objects.filter(
        prober=annotator, rule__group__in=HARMFUL_GROUPS, taken_at__gte=today, taken_at__lte=now
    )
    return sum(rows.objects.filter(harmful, **own).count() for rows in (Ranking, TaskAnswer, Skip)) + taken.count()


def is_break_due(annotator: User, now: datetime | None = None) -> int:
    """Minutes that the person has judged without a pause, if that is long enough to remind them of one; else 0. Then
    they are not reminded again for as long."""
    now = now or timezone.now()
    chosen = choices_of(annotator)
    after = chosen.break_after_minutes
    wanted = timedelta(minutes=settings.FEEDBACK_BREAK_AFTER_MINUTES if after is None else after)
    judged = _judging_since(annotator, now)
    if not wanted or judged < wanted or (chosen.break_told_at and now - chosen.break_told_at < wanted):
        return 0
    JudgingChoices.objects.update_or_create(annotator=annotator, defaults={"break_told_at": now})
    return int(judged.total_seconds() // 60)


def _is_enough(annotator: User, chosen: JudgingChoices, now: datetime) -> bool:
    limit = harmful_limit(chosen)
    return limit is not None and _read_today(annotator, now) >= limit


def _judging_since(annotator: User, now: datetime) -> timedelta:
    """From the beginning of the oldest judgement after which there was no pause."""
    own = {"annotator": annotator, "created_at__gte": now - LOOKED_BACK, "created_at__lte": now}
    made = [
        row
        for rows in (Ranking, TaskAnswer)
        for row in rows.objects.filter(**own).values_list("created_at", "seconds")
    ]
    began = now
    for ended, seconds in sorted(made, reverse=True):
        if began - ended > PAUSE:
            break
        began = min(began, ended - min(timedelta(seconds=seconds), PAUSE))
    return now - began
