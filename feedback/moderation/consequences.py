"""Describes what each moderation verb will do, for the page that asks for confirmation."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.audit_labels import ACTS
from accounts.models import User
from chat.models import Message
from feedback.models import Report
from feedback.moderation import actions, review_queue


@dataclass(frozen=True)
class Verb:
    name: str
    title: Any
    icon: str
    is_grave: bool = False


VERBS = {
    verb.name: verb
    for verb in (
        Verb("hide", ACTS["text.hide"], "trash", is_grave=True),
        Verb("restore", ACTS["text.restore"], "undo"),
        Verb("keep_out", ACTS["text.keep_out"], "shield"),
        Verb("let_in", ACTS["text.let_in"], "check"),
        Verb("suspend", ACTS["user.suspend"], "leave", is_grave=True),
        Verb("lift", ACTS["user.lift"], "person"),
        Verb("dismiss", ACTS["reports.dismiss"], "close"),
        Verb("reopen", ACTS["reports.reopen"], "retry"),
    )
}


def offered(item: review_queue.ReportedText, actor: User) -> list[Verb]:
    """The verbs that would change something now and that the actor may use."""
    states = {report.state for report in item.reports}
    is_suspended = item.author is not None and item.author.is_suspended
    may_suspend = item.author is not None and actions.may_suspend(actor, item.author)
    possible = {
        "hide": item.text.hidden_at is None,
        "restore": item.text.hidden_at is not None,
        "keep_out": not item.text.never_train,
        "let_in": item.text.never_train,
        "suspend": may_suspend and not is_suspended,
        "lift": may_suspend and is_suspended,
        "dismiss": Report.State.OPEN in states,
        "reopen": Report.State.OPEN not in states,
    }
    return [verb for name, verb in VERBS.items() if possible[name]]


def lines(verb: str, item: review_queue.ReportedText) -> list[str]:
    """The consequences, one sentence each."""
    name = item.author.username if item.author else ""
    said = {
        "hide": [_who_no_longer_sees(item), *_leaves_training(item), _closes(item)],
        "restore": [_("People see the reply again, and judgements of it can be used for training again.")],
        "keep_out": [_("Everybody can still see the reply."), *_leaves_training(item), _closes(item)],
        "let_in": [_("Judgements of this reply can be used for training again, from the next snapshot on.")],
        "suspend": [
            _("%(name)s is signed out everywhere at once and cannot sign in until the date you choose.")
            % {"name": name},
            _("Nothing they wrote is deleted. Until then, their rankings and flags are not used for training."),
            _closes(item),
        ],
        "lift": [
            _("%(name)s can sign in again, and their judgements can be used for training again.") % {"name": name}
        ],
        "dismiss": [_("The reply stays as it is, and its open reports are removed from the queue.")],
        "reopen": [_("The reports of this reply return to the queue.")],
    }
    return [line for line in said[verb] if line]


def _who_no_longer_sees(item: review_queue.ReportedText) -> str:
    if isinstance(item.text, Message):
        return _("The person who got this reply sees a notice instead of it. Moderators can still see it.")
    return _("Annotators no longer see this reply. Moderators can still see it.")


def _leaves_training(item: review_queue.ReportedText) -> list[str]:
    effect = review_queue.effect_on_training(item.text)
    count = effect["rankings"]
    if not count:
        return []
    rankings = ngettext(
        "%(count)d ranking leaves the training data from the next snapshot on.",
        "%(count)d rankings leave the training data from the next snapshot on.",
        count,
    ) % {"count": count}
    return [rankings, _("Models that have already learned from it do not change.")]


def _closes(item: review_queue.ReportedText) -> str:
    count = sum(report.state == Report.State.OPEN for report in item.reports)
    if not count:
        return ""
    return ngettext(
        "%(count)d open report is marked as decided.", "%(count)d open reports are marked as decided.", count
    ) % {"count": count}
