"""Notices of a moderator's decision, to those who reported or flagged the text."""

from django.db.models import QuerySet
from django.urls import reverse

from accounts import notices
from accounts.models import AuditEntry
from feedback.models import Report


def send(entry: AuditEntry, decided: QuerySet[Report]) -> None:
    """One to each reporter but the moderator themselves; in the transaction of the decision that the entry records.

    It leads to where the person read the text: their conversation, or their rankings.
    """
    reports = decided.exclude(reporter=entry.actor_id).select_related("message")
    links = {report.reporter_id: _link_of(report) for report in reports}
    for reporter, link in links.items():
        told = {"act": entry.verb}
        notices.send(notices.Kind.REPORT_DECIDED, {reporter: told}, about=f"audit:{entry.pk}", link=link)


def _link_of(report: Report) -> str:
    if report.message is None:
        return reverse("my_rankings")
    return reverse("conversation", args=[report.message.conversation_id])
