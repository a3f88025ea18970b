"""Describes what each moderation verb will do, for the page that asks for confirmation."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.audit_labels import ACTS
from accounts.models import User
from chat.models import Message
from feedback.models import Report, Review
from feedback.moderation import actions, reported_texts
from feedback.moderation.reported_texts import ReportedText


@dataclass(frozen=True)
class Verb:
    name: str
    title: Any
    icon: str
    key: str
    """On the page of an item."""
    is_grave: bool = False
    """Whether it asks for confirmation and a reason; the others are done at once, with their usual reason."""
    usual_reason: Any = ""


VERBS = {
    verb.name: verb
    for verb in (
        Verb("hide", ACTS["text.hide"], "trash", "h", is_grave=True),
        Verb(
            "restore",
            ACTS["text.restore"],
            "undo",
            "r",
            usual_reason=gettext_lazy("Nothing wrong with it after all."),
        ),
        Verb("keep_out", ACTS["text.keep_out"], "shield", "e", usual_reason=gettext_lazy("Not fit to learn from.")),
        Verb("let_in", ACTS["text.let_in"], "check", "t", usual_reason=gettext_lazy("Fit to learn from after all.")),
        Verb("suspend", ACTS["user.suspend"], "leave", "s", is_grave=True),
        Verb("lift", ACTS["user.lift"], "person", "l", is_grave=True),
        Verb("dismiss", ACTS["reports.dismiss"], "close", "d", usual_reason=gettext_lazy("It breaks no rule.")),
        Verb("reopen", ACTS["reports.reopen"], "retry", "o", usual_reason=gettext_lazy("To be looked at again.")),
        Verb(
            "block_right",
            gettext_lazy("Rightly blocked"),
            "check",
            "b",
            usual_reason=gettext_lazy("The guard was right."),
        ),
        Verb(
            "block_wrong",
            gettext_lazy("Wrongly blocked"),
            "close",
            "w",
            usual_reason=gettext_lazy("The guard was wrong."),
        ),
    )
}
IN_BULK = ("dismiss", "keep_out", "hide")
"""Verbs for several items at once."""


def offered(item: ReportedText, actor: User) -> list[Verb]:
    """The verbs that would change something now and that the actor may use. Those against the author's account are
    not offered where the author is who reported the text."""
    states = {report.state for report in item.reports}
    author = item.author if not item.is_reported_by_author else None
    may_suspend = author is not None and actions.may_suspend(actor, author)
    is_suspended = author is not None and author.is_suspended
    outcome = item.review.outcome if item.review else ""
    possible = {
        "hide": item.text.hidden_at is None,
        "restore": item.text.hidden_at is not None,
        "keep_out": not item.text.never_train,
        "let_in": item.text.never_train,
        "suspend": may_suspend and not is_suspended,
        "lift": may_suspend and is_suspended,
        "dismiss": Report.State.OPEN in states,
        "reopen": Report.State.OPEN not in states
        and bool(states & {Report.State.DECIDED.value, Report.State.DISMISSED.value}),
        "block_right": bool(item.blocked_by) and outcome != Review.Outcome.RIGHT,
        "block_wrong": bool(item.blocked_by) and outcome != Review.Outcome.WRONG,
    }
    return [verb for name, verb in VERBS.items() if possible[name]]


def lines(verb: str, item: ReportedText) -> list[str]:
    """The consequences, one sentence each."""
    name = item.author.username if item.author else ""
    said = {
        "hide": [_who_no_longer_sees(item), *_leaves_training(item), _closes(item)],
        "restore": [_("People see the reply again, and judgements of it can be used for training again.")],
        "keep_out": [_("Everybody can still see the reply."), *_leaves_training(item), _closes(item)],
        "let_in": [_("Judgements of this reply can be used for training again, from the next snapshot on.")],
        "suspend": [*lines_about_person("suspend", name), _closes(item)],
        "lift": lines_about_person("lift", name),
        "block_right": [_("The reply leaves the list of blocked replies. Nothing else changes.")],
        "block_wrong": [_("The reply leaves the list of blocked replies and counts as a mistake of the guard.")],
        "dismiss": [_("The reply stays as it is, and its open reports are removed from the queue.")],
        "reopen": [_("The reports of this reply return to the queue.")],
    }
    return [line for line in said[verb] if line]


def lines_about_person(verb: str, name: str) -> list[str]:
    said = {
        "suspend": [
            _("%(name)s is signed out everywhere at once and cannot sign in until the date you choose."),
            _("Nothing they wrote is deleted. Until then, their rankings and flags are not used for training."),
        ],
        "lift": [_("%(name)s can sign in again, and their judgements can be used for training again.")],
        "warn": [
            _("%(name)s gets a notice with your text. It does not say who wrote it."),
            _("The warning stays on their page for moderators. Nothing else changes."),
        ],
        "approve": [_("The account leaves the list of new accounts. Nothing else changes.")],
    }
    return [line % {"name": name} for line in said[verb]]


def _who_no_longer_sees(item: ReportedText) -> str:
    if isinstance(item.text, Message):
        return _("The person who got this reply sees a notice instead of it. Moderators can still see it.")
    return _("Annotators no longer see this reply. Moderators can still see it.")


def _leaves_training(item: ReportedText) -> list[str]:
    effect = reported_texts.effect_on_training(item.text)
    count = effect["rankings"]
    if not count:
        return []
    rankings = ngettext(
        "%(count)d ranking leaves the training data from the next snapshot on.",
        "%(count)d rankings leave the training data from the next snapshot on.",
        count,
    ) % {"count": count}
    return [rankings, _("Models that have already learned from it do not change.")]


def _closes(item: ReportedText) -> str:
    count = sum(report.state == Report.State.OPEN for report in item.reports)
    if not count:
        return ""
    return ngettext(
        "%(count)d open report is marked as decided.", "%(count)d open reports are marked as decided.", count
    ) % {"count": count}
