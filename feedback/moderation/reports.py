"""Reports: what a person or a flag puts before the moderators."""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from chat.models import Message
from feedback.models import Ranking, Report, RuleVersion, Violation

REPORTS_PER_HOUR = 30


class TooManyReports(Exception):
    """One person reported more in an hour than moderators can read."""

    code = "too_many_reports"
    retry_after_s = 3600

    def __str__(self) -> str:
        return str(
            _("You have sent many reports in the last hour. Try again later; moderators will read the ones you sent.")
        )


@transaction.atomic
def report_message(reporter: User, message: Message, version: RuleVersion | None, comment: str) -> Report:
    """One open report a person, text and rule: the same again only renews its comment. A rule that is named flags
    the text as breaking it. Raises TooManyReports."""
    recent = Report.objects.filter(reporter=reporter, created_at__gt=timezone.now() - timedelta(hours=1))
    same = Report.objects.filter(
        reporter=reporter, message=message, rule_version=version, state=Report.State.OPEN
    ).first()
    if same is None:
        if recent.filter(message__isnull=False).count() >= REPORTS_PER_HOUR:
            raise TooManyReports
        if version is not None:
            Violation.objects.get_or_create(annotator=reporter, message=message, rule_version=version)
        return Report.objects.create(reporter=reporter, message=message, rule_version=version, comment=comment)
    if comment:
        same.comment = comment
        same.save(update_fields=["comment"])
    return same


def flags_of(person: User, message: Message) -> QuerySet[Violation]:
    """The rules that the person says the message breaks."""
    flagged = Violation.objects.filter(annotator=person, message=message, is_violation=True)
    return flagged.select_related("rule_version__rule").order_by("rule_version__rule__position", "pk")


@transaction.atomic
def take_back_flag(person: User, message: Message, version_id: int) -> None:
    """The flag is as if it had not been made, and waits for no moderator."""
    flags_of(person, message).filter(rule_version=version_id).delete()
    Report.objects.filter(reporter=person, message=message, rule_version=version_id, state=Report.State.OPEN).update(
        state=Report.State.DISMISSED, closed_at=timezone.now()
    )


def open_for_flags(annotator: User, flagged: set[tuple[int, int]]) -> None:
    """A report for each (completion, rule version) that a ranking flagged."""
    Report.objects.bulk_create(
        Report(reporter=annotator, completion_id=completion, rule_version_id=version)
        for completion, version in sorted(flagged)
    )


def close_for_ranking(made: Ranking) -> None:
    """Flags taken back with their ranking wait for no moderator."""
    Report.objects.filter(
        reporter_id=made.annotator_id, completion__task_id=made.task_id, state=Report.State.OPEN
    ).update(state=Report.State.DISMISSED, closed_at=timezone.now())
