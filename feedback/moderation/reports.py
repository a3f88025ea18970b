"""Reports for moderators, made by people and by flags in rankings."""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from chat.conversations import temporary
from chat.models import Message
from feedback.models import Ranking, Report, RuleVersion, Violation

REPORTS_PER_HOUR = 30


class TooManyReports(Exception):
    """The person reported too much in the last hour."""

    code = "too_many_reports"
    retry_after_s = 3600

    def __str__(self) -> str:
        return str(
            _("You have sent many reports in the last hour. Try again later; moderators will read the ones you sent.")
        )


@transaction.atomic
def report_message(reporter: User, message: Message, version: RuleVersion | None, comment: str) -> Report:
    """Adds a report; an open one by the same person on the same text and rule gets the new comment instead. A rule
    that is named also flags the text as breaking it. A temporary conversation is kept for moderators from then on.
    Raises TooManyReports."""
    recent = Report.objects.filter(reporter=reporter, created_at__gt=timezone.now() - timedelta(hours=1))
    same = Report.objects.filter(
        reporter=reporter, message=message, rule_version=version, state=Report.State.OPEN
    ).first()
    if same is None:
        if recent.filter(message__isnull=False).count() >= REPORTS_PER_HOUR:
            raise TooManyReports
        if version is not None:
            Violation.objects.get_or_create(annotator=reporter, message=message, rule_version=version)
        temporary.keep_for_moderators(message.conversation)
        return Report.objects.create(reporter=reporter, message=message, rule_version=version, comment=comment)
    if comment:
        same.comment = comment
        same.save(update_fields=["comment"])
    return same


def flags_of(person: User, message: Message) -> QuerySet[Violation]:
    """The person's flags on the message."""
    flagged = Violation.objects.filter(annotator=person, message=message, is_violation=True)
    return flagged.select_related("rule_version__rule").order_by("rule_version__rule__position", "pk")


@transaction.atomic
def take_back_flag(person: User, message: Message, version_id: int) -> None:
    """Removes the flag and dismisses its open report."""
    flags_of(person, message).filter(rule_version=version_id).delete()
    Report.objects.filter(reporter=person, message=message, rule_version=version_id, state=Report.State.OPEN).update(
        state=Report.State.DISMISSED, closed_at=timezone.now()
    )


def open_for_flags(annotator: User, flagged: set[tuple[int, int]]) -> None:
    """Adds a report for each (completion, rule version) that a ranking flagged."""
    Report.objects.bulk_create(
        Report(reporter=annotator, completion_id=completion, rule_version_id=version)
        for completion, version in sorted(flagged)
    )


def close_for_ranking(made: Ranking) -> None:
    """Dismisses the open reports of the ranking's flags."""
    Report.objects.filter(
        reporter_id=made.annotator_id, completion__task_id=made.task_id, state=Report.State.OPEN
    ).update(state=Report.State.DISMISSED, closed_at=timezone.now())
