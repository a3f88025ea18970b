"""The moderators' queue by priority, and a reported text with its context, its author and its history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Count, F, IntegerField, Max, Min, Q, QuerySet, Value, When

from accounts.audit import record
from accounts.models import AuditEntry, User
from base.dates import start_of_today
from chat.models import Message
from chat.prompts.history import assistants_preamble
from feedback import rules, trainable
from feedback.models import Completion, Report, Rule
from feedback.moderation import actions
from feedback.moderation.actions import ModeratedText, report_lookup
from feedback.prompts import as_answered


def queue(*, state: str, kind: str = "", rule: str = "") -> QuerySet[Any, Any]:
    """Reported texts, the most urgent first: number of reporters plus the weight of the gravest rule, then age."""
    reports = Report.objects.filter(state=state)
    if kind:
        reports = reports.filter(**{f"{kind}__isnull": False})
    if rule:
        reports = reports.filter(rule_version__rule__key=rule)
    weights = [When(rule_version__rule=rule, then=Value(rules.severity(rule))) for rule in Rule.objects.all()]
    return (
        reports.values("message_id", "completion_id")
        .annotate(
            reporters=Count("reporter", distinct=True),
            reports=Count("pk"),
            weight=Max(Case(*weights, default=Value(1), output_field=IntegerField())),
            oldest=Min("created_at"),
        )
        .annotate(priority=F("reporters") + F("weight"))
        .order_by("-priority", "oldest")
    )


@dataclass(frozen=True)
class QueueRow:
    """One row of the queue's page."""

    kind: str
    pk: int
    text: str
    priority: int
    reporters: int
    oldest: datetime
    names: list[str]
    """Names of the rules that it is reported to break."""
    state: ModeratedText


def rows(items: list[dict[str, Any]], *, state: str) -> list[QueueRow]:
    """The rows of a page of the queue; takes two more queries."""
    texts: dict[tuple[str, int], ModeratedText] = {}
    for kind, model in actions.TEXT_MODELS.items():
        ids = [item[f"{kind}_id"] for item in items if item[f"{kind}_id"]]
        texts.update({(kind, text.pk): text for text in model._default_manager.filter(pk__in=ids)})
    names = _names_of(texts, state)
    found = []
    for item in items:
        kind = "message" if item["message_id"] else "completion"
        key = (kind, item[f"{kind}_id"])
        found.append(
            QueueRow(
                kind=kind,
                pk=key[1],
                text=texts[key].text,
                priority=item["priority"],
                reporters=item["reporters"],
                oldest=item["oldest"],
                names=names.get(key, []),
                state=texts[key],
            )
        )
    return found


def _names_of(texts: Mapping[tuple[str, int], ModeratedText], state: str) -> dict[tuple[str, int], list[str]]:
    names: dict[tuple[str, int], list[str]] = {}
    messages = [pk for kind, pk in texts if kind == "message"]
    completions = [pk for kind, pk in texts if kind == "completion"]
    reports = Report.objects.filter(Q(message__in=messages) | Q(completion__in=completions), state=state)
    for report in reports.select_related("rule_version__rule").order_by("rule_version__rule__position"):
        key = ("message", report.message_id) if report.message_id else ("completion", report.completion_id or 0)
        name = report.rule_version.name if report.rule_version else ""
        if name and name not in names.setdefault(key, []):
            names[key].append(name)
    return names


# --- one reported text -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportedText:
    kind: str
    text: ModeratedText
    turns: list[dict[str, Any]]
    """The assistant's instructions and examples and the whole conversation, or the prompt with all completions of the
    task; `is_subject` marks the text."""
    author: User | None
    """The owner of the conversation; None for the completion of a seed prompt."""
    reports: list[Report]
    entries: list[AuditEntry]
    """Audit entries of the text and its author, newest first."""


def reported(kind: str, pk: int) -> ModeratedText | None:
    """The text, if anybody ever reported it: moderators may see no other conversations."""
    model = actions.TEXT_MODELS[kind]
    return model._default_manager.filter(pk=pk, reports__isnull=False).distinct().first()


def item(kind: str, text: ModeratedText) -> ReportedText:
    author = _author_of(text)
    targets = [label(text)] + ([label(author)] if author else [])
    return ReportedText(
        kind=kind,
        text=text,
        turns=_turns_of(text),
        author=author,
        reports=list(
            Report.objects.filter(**report_lookup(text))
            .select_related("reporter", "rule_version__rule")
            .order_by("-created_at")
        ),
        entries=list(AuditEntry.objects.filter(target__in=targets).select_related("actor")[:30]),
    )


def label(target: ModeratedText | User) -> str:
    return f"{target._meta.label_lower}:{target.pk}"


def _author_of(text: ModeratedText) -> User | None:
    message = text if isinstance(text, Message) else text.task.prompt.message
    return message.conversation.owner if message else None


def _turns_of(text: ModeratedText) -> list[dict[str, Any]]:
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


def _turn(role: str, text: ModeratedText, is_subject: bool) -> dict[str, Any]:
    return {"role": role, "text": text.text, "is_subject": is_subject, "row": text}


def history_of(user: User) -> dict[str, Any]:
    """Numbers about a person, for moderators."""
    about_them = Report.objects.filter(
        Q(message__conversation__owner=user) | Q(completion__task__prompt__message__conversation__owner=user)
    )
    return {
        "joined": user.date_joined,
        "conversations": user.conversations.count(),
        "reports_about": about_them.count(),
        "reports_dismissed": about_them.filter(state=Report.State.DISMISSED).count(),
        "reports_made": user.reports.count(),
        "reports_made_dismissed": user.reports.filter(state=Report.State.DISMISSED).count(),
        "suspensions": AuditEntry.objects.filter(verb="user.suspend", target=label(user)).count(),
    }


def effect_on_training(text: ModeratedText) -> dict[str, int]:
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


def note_reading(text: ModeratedText, reader: User) -> None:
    """Logs that a moderator read somebody's conversation: one entry per moderator, text and day."""
    author = _author_of(text)
    if author is None or author == reader:
        return
    read = AuditEntry.objects.filter(verb="text.read", target=label(text), actor=reader, at__gte=start_of_today())
    if not read.exists():
        with transaction.atomic():
            record(reader, "text.read", text)
