"""Reports for moderators, made by people."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from chat.conversations import temporary
from chat.models import Message
from feedback.models import Ranking, RankingTask, Report, RuleVersion, Violation
from feedback.webhooks import events

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
            flag, is_new = Violation.objects.get_or_create(annotator=reporter, message=message, rule_version=version)
            if is_new:
                events.message_flagged(flag)
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
    """Removes the flag and withdraws its open report."""
    flags_of(person, message).filter(rule_version=version_id).delete()
    _withdraw(Report.objects.filter(reporter=person, message=message, rule_version=version_id))


def close_for_ranking(made: Ranking) -> None:
    """Withdraws the open reports of the ranking's flags."""
    _withdraw(Report.objects.filter(reporter_id=made.annotator_id, completion__task_id=made.task_id))


def close_for_flags(annotator: User, flags: set[tuple[int, int]]) -> None:
    """Withdraws the open reports of flags, (completion, rule version), that the annotator took back."""
    for completion, version in flags:
        _withdraw(Report.objects.filter(reporter=annotator, completion=completion, rule_version=version))


def open_for_upsetting(annotator: User, task: RankingTask) -> None:
    """Adds a report of a task that the annotator would rather not read: of the message that it asks to answer, else
    of its first reply. One that is open already is enough; of a prompt of a project without replies there is nothing
    on which a moderator could act."""
    asked = task.prompt.message_id
    first = task.completions.values_list("pk", flat=True).first()
    if asked is None and first is None:
        return
    of = {"message_id": asked} if asked else {"completion_id": first}
    if Report.objects.filter(**of, rule_version=None, state=Report.State.OPEN).exists():
        return
    with override(settings.LANGUAGE_CODE):
        comment = gettext("An annotator skipped the task with this text: they would rather not read it.")
    Report.objects.create(**of, reporter=annotator, comment=comment)


def _withdraw(reports: QuerySet[Report]) -> None:
    reports.filter(state=Report.State.OPEN).update(state=Report.State.WITHDRAWN, closed_at=timezone.now())
