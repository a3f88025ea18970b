"""Which annotators' flags moderators get to read: grave ones at once, others where several agree, and a sample.

The flag itself is always stored, and trains. Without this an hour of annotating would fill the queue with matters of
taste, between which a threat is not seen.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q
from django.utils.crypto import salted_hmac

from accounts.models import User
from feedback import rules
from feedback.models import Report, Rule, RuleVersion, Violation

Flag = tuple[int, int]
"""(completion, rule)"""


@dataclass(frozen=True)
class _Flagged:
    completion: int
    version: RuleVersion
    annotator: int


def open_for_flags(annotator: User, flagged: set[tuple[int, int]]) -> None:
    """Adds reports for the (completion, rule version) pairs that a ranking flagged, if they are for moderators.

    Must follow the storing of the flags. A reply that a moderator has decided on by the same rule is not reported
    again. Where the threshold is reached, everybody who flagged it is a reporter.
    """
    versions = {version.pk: version for version in _versions(version for _completion, version in flagged)}
    asked = {(completion, versions[version].rule_id) for completion, version in flagged}
    present = _present(asked)
    known = _known(asked)
    decided = {flag for flag, states in known.items() if Report.State.DISMISSED in states.values()}
    opened = [
        each
        for flag in sorted(asked - decided)
        for each in _to_report(present[flag], known[flag], annotator)
        if each.annotator not in known[flag]
    ]
    Report.objects.bulk_create(
        Report(reporter_id=each.annotator, completion_id=each.completion, rule_version=each.version)
        for each in opened
    )


def _versions(ids: Iterable[int]) -> Iterable[RuleVersion]:
    return RuleVersion.objects.filter(pk__in=set(ids)).select_related("rule")


def _present(asked: set[Flag]) -> dict[Flag, list[_Flagged]]:
    """All flags by people on these replies by these rules, in whichever wording."""
    rows = Violation.objects.filter(
        Q(ranking__isnull=True) | Q(ranking__withdrawn_at__isnull=True),
        Q(answer__isnull=True) | Q(answer__withdrawn_at__isnull=True),
        completion__in={completion for completion, _rule in asked},
        rule_version__rule__in={rule for _completion, rule in asked},
        is_violation=True,
        is_simulated=False,
    )
    found: dict[Flag, list[_Flagged]] = defaultdict(list)
    for row in rows.select_related("rule_version__rule").order_by("pk"):
        flag = _Flagged(row.completion_id or 0, row.rule_version, row.annotator_id)
        found[flag.completion, row.rule_version.rule_id].append(flag)
    return found


def _known(asked: set[Flag]) -> dict[Flag, dict[int, str]]:
    """The state of each report on them, by its reporter."""
    reports = Report.objects.filter(
        completion__in={completion for completion, _rule in asked},
        rule_version__rule__in={rule for _completion, rule in asked},
    )
    found: dict[Flag, dict[int, str]] = defaultdict(dict)
    for report in reports.exclude(state=Report.State.WITHDRAWN).select_related("rule_version"):
        if report.completion_id and report.rule_version:
            found[report.completion_id, report.rule_version.rule_id][report.reporter_id] = report.state
    return found


def _to_report(flags: list[_Flagged], known: dict[int, str], annotator: User) -> list[_Flagged]:
    """Those of one reply and rule that moderators shall see: all of them, the annotator's own, or none."""
    if not flags:
        return []
    rule = flags[0].version.rule
    people = {flag.annotator for flag in flags}
    agreed = _is_harmful(rule) and len(people) >= settings.FEEDBACK_FLAGS_TO_REPORT
    if agreed:
        return list({flag.annotator: flag for flag in flags}.values())
    own = [flag for flag in flags if flag.annotator == annotator.pk][:1]
    is_open = Report.State.OPEN in known.values()
    return [flag for flag in own if rules.is_severe(rule) or is_open or is_sampled(flag.completion, rule, annotator)]


def _is_harmful(rule: Rule) -> bool:
    """Whether agreement of annotators is enough; flags by rules of quality are for moderators as a sample alone."""
    return rule.group in rules.HARMFUL_GROUPS or rules.is_severe(rule)


def is_sampled(completion: int, rule: Rule, annotator: User) -> bool:
    """Whether a flag is in the sample, a share of settings.FEEDBACK_FLAG_SAMPLE: always the same answer for the same
    flag, and one that nobody outside can foresee."""
    drawn = salted_hmac("feedback.flag_sample", f"{completion}:{rule.pk}:{annotator.pk}", algorithm="sha256")
    share = int.from_bytes(drawn.digest()[:8], "big") / 2**64
    return bool(share < settings.FEEDBACK_FLAG_SAMPLE)
