"""Says in words why an item stands where it does in the queue: its rule, who reported it, and how long it waits."""

from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat import guards
from feedback import rules
from feedback.models import Report, Rule, RuleVersion
from feedback.moderation import flag_reports, priority, records
from feedback.moderation.priority import Priority, Record
from feedback.moderation.reported_texts import ReportedText


def _priority_of(item: ReportedText) -> Priority | None:
    """As in the queue (feedback.moderation.report_queue); None where nothing is open."""
    if not item.open_reports:
        return None
    known = records.of({report.reporter_id for report in item.open_reports})
    oldest = min(report.created_at for report in item.open_reports)
    reporters = {report.reporter_id for report in item.open_reports}
    of_reporters = [known.get(reporter, Record()) for reporter in reporters]
    return priority.of(rules.severity(_gravest(item)), of_reporters, timezone.now() - oldest)


def lines(item: ReportedText) -> list[str]:
    """One sentence each."""
    said = []
    if item.blocked_by:
        said.append(_("The guard “%(name)s” ended this reply.") % {"name": guards.name_of(item.blocked_by)})
    if item.open_reports:
        said += [_of_rule(item), *_of_reporters(item), *_of_sampling(item), _of_age(item)]
    if found := _priority_of(item):
        said.append(_sum(found))
    return said


def _gravest_version(item: ReportedText) -> RuleVersion | None:
    versions = [report.rule_version for report in item.open_reports if report.rule_version]
    return max(versions, key=lambda version: rules.severity(version.rule), default=None)


def _gravest(item: ReportedText) -> Rule | None:
    version = _gravest_version(item)
    return version.rule if version else None


def _of_rule(item: ReportedText) -> str:
    version = _gravest_version(item)
    if version is None:
        return _("Its reports name no rule: severity 1 of 5.")
    return _("It is said to break “%(rule)s”: severity %(n)d of 5.") % {
        "rule": version.name,
        "n": rules.severity(version.rule),
    }


def _of_reporters(item: ReportedText) -> list[str]:
    people = {report.reporter_id: report.reporter.username for report in item.open_reports}
    known = records.of(people)
    return [
        _of_reporter(name, known.get(pk, Record())) for pk, name in sorted(people.items(), key=lambda one: one[1])
    ]


def _of_reporter(name: str, made: Record) -> str:
    decided = made.upheld + made.dismissed
    if not decided:
        return _("Reported by %(name)s, of whose reports none is decided yet.") % {"name": name}
    return ngettext(
        "Reported by %(name)s: %(upheld)d of %(n)d earlier report was upheld.",
        "Reported by %(name)s: %(upheld)d of %(n)d earlier reports were upheld.",
        decided,
    ) % {"name": name, "upheld": made.upheld, "n": decided}


def _of_sampling(item: ReportedText) -> list[str]:
    if item.kind != "completion" or not all(_is_sampled(report) for report in item.open_reports):
        return []
    return [_("It is here as a sample: not every flag of an annotator is shown to moderators.")]


def _is_sampled(report: Report) -> bool:
    rule = report.rule_version.rule if report.rule_version else None
    if rule is None or rules.is_severe(rule):
        return False
    return flag_reports.is_sampled(report.completion_id or 0, rule, report.reporter)


def _of_age(item: ReportedText) -> str:
    oldest = min(report.created_at for report in item.open_reports)
    return _("It has waited for %(age)s.") % {"age": timesince(oldest)}


def _sum(found: Priority) -> str:
    return _("Priority %(total).1f = %(severity).0f (severity) + %(reporters).1f (reporters) + %(age).1f (age).") % {
        "total": found.total,
        "severity": found.severity,
        "reporters": found.reporters,
        "age": found.age,
    }
