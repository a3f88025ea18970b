"""A reported text with its context, its author, its reports and its history."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts.audit import record
from accounts.models import AuditEntry, User
from base.dates import start_of_today
from chat.models import Conversation, Message, Reply
from chat.prompts.history import assistants_preamble
from feedback import trainable
from feedback.models import Completion, ModeratorNote, Report, Review
from feedback.moderation import notes
from feedback.moderation.items import MODELS, ItemKey, Text, key_of
from feedback.prompts import as_answered


@dataclass(frozen=True)
class ReportedText:
    key: ItemKey
    text: Text
    turns: list[dict[str, Any]]
    """The assistant's instructions and examples and the whole conversation, or the prompt with all completions of the
    task; `is_subject` marks the text. Of a reply that a guard blocked and nobody reported: the question and the reply
    alone."""
    author: User | None
    """The owner of the conversation; None for the completion of a seed prompt."""
    reports: list[Report]
    entries: list[AuditEntry]
    """Audit entries of the text and its author, newest first."""
    notes: list[ModeratorNote]
    review: Review | None
    """Of a blocked reply."""

    @property
    def kind(self) -> str:
        return self.key.kind

    @property
    def blocked_by(self) -> str:
        """Key of the rule or guard that ended it; empty if none did."""
        return _blocked_by(self.text)

    @property
    def open_reports(self) -> list[Report]:
        return [report for report in self.reports if report.state == Report.State.OPEN]

    @property
    def is_reported_by_author(self) -> bool:
        """As when somebody reports what the model said to them: then no act against them follows from it."""
        return self.author is not None and any(report.reporter_id == self.author.pk for report in self.reports)


def reviewable(kind: str, pk: int) -> Text | None:
    """The text, if anybody ever reported it, or a guard blocked it: moderators may see no other conversations."""
    text: Text | None = MODELS[kind]._default_manager.filter(pk=pk).first()
    if text is None or not (text.reports.exists() or _is_blocked(text)):
        return None
    return text


def _is_blocked(text: Text) -> bool:
    """Whether a guard ended it, in a conversation that its owner neither deleted nor meant to be forgotten."""
    return bool(_blocked_by(text)) and isinstance(text, Message) and _is_kept(text.conversation)


def _blocked_by(text: Text) -> str:
    reply = text.reply_or_none if isinstance(text, Message) else None
    return reply.blocked_by if reply is not None and reply.state == Reply.State.BLOCKED else ""


def _is_kept(conversation: Conversation) -> bool:
    return conversation.deleted_at is None and not conversation.is_temporary


def item(text: Text) -> ReportedText:
    author, key = _author_of(text), key_of(text)
    targets = [label(text)] + ([label(author)] if author else [])
    found = Report.objects.filter(**key.lookup).select_related("reporter", "rule_version__rule")
    reports = list(found.order_by("-created_at"))
    return ReportedText(
        key=key,
        text=text,
        turns=_turns_of(text) if reports else _exchange(text),
        author=author,
        reports=reports,
        entries=list(AuditEntry.objects.filter(target__in=targets).select_related("actor")[:30]),
        notes=list(notes.of(text)),
        review=Review.objects.select_related("moderator").filter(message=text).first()
        if isinstance(text, Message)
        else None,
    )


def label(target: Text | User) -> str:
    return f"{target._meta.label_lower}:{target.pk}"


def _author_of(text: Text) -> User | None:
    message = text if isinstance(text, Message) else text.task.prompt.message
    return message.conversation.owner if message else None


def _turns_of(text: Text) -> list[dict[str, Any]]:
    if isinstance(text, Message):
        messages = text.conversation.messages.select_related("reply__policy").order_by("id")
        reply = text.reply_or_none
        before = [
            {"role": turn["role"], "text": turn["content"], "is_example": turn["role"] != "system"}
            for turn in (assistants_preamble(reply) if reply is not None else ())
        ]
        return before + [_turn(message.role, message, message.pk == text.pk) for message in messages]
    prompt = [{"role": turn["role"], "text": turn["content"], "is_subject": False} for turn in as_answered(text.task)]
    replies = text.task.completions.order_by("index")
    return prompt + [_turn("assistant", reply, reply.pk == text.pk) for reply in replies]


def _exchange(text: Text) -> list[dict[str, Any]]:
    """What was asked, and the reply."""
    assert isinstance(text, Message)
    asked = text.parent
    question = [_turn(asked.role, asked, is_subject=False)] if asked is not None else []
    return [*question, _turn(text.role, text, is_subject=True)]


def _turn(role: str, text: Text, is_subject: bool) -> dict[str, Any]:
    return {"role": role, "text": text.text, "is_subject": is_subject, "row": text}


def effect_on_training(text: Text) -> dict[str, int]:
    """Judgements that leave the training data when this text is hidden or kept out."""
    if isinstance(text, Completion):
        return {
            "rankings": trainable.rankings().filter(task=text.task_id).count(),
            "flags": trainable.violations().filter(completion=text).count(),
        }
    prompts = trainable.prompts().filter(message__conversation=text.conversation_id, message_id__gte=text.pk)
    return {
        "rankings": trainable.rankings().filter(task__prompt__in=prompts).count(),
        "flags": trainable.violations().filter(message=text).count(),
    }


def note_reading(text: Text, reader: User) -> None:
    """Logs that a moderator read somebody's conversation: one entry per moderator, text and day."""
    author = _author_of(text)
    if author is None or author == reader:
        return
    read = AuditEntry.objects.filter(verb="text.read", target=label(text), actor=reader, at__gte=start_of_today())
    if not read.exists():
        with transaction.atomic():
            record(reader, "text.read", text)
