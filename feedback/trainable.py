"""Selects the judgements and prompts that may be trained on: with consent, and not hidden, withdrawn or kept out."""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from chat.models import Message, Reply
from feedback.models import Comparison, Completion, Prompt, Ranking, Report, Thumb, Violation


def prompts() -> QuerySet[Prompt]:
    """Seed prompts, and prompts of conversations that may train, without a hidden or kept-out turn in them."""
    kept_out = Message.objects.filter(
        Q(hidden_at__isnull=False) | Q(never_train=True),
        conversation=OuterRef("message__conversation"),
        pk__lte=OuterRef("message_id"),
    )
    consenting = Q(
        message__conversation__may_train=True,
        message__conversation__deleted_at__isnull=True,
        message__conversation__owner__deletion_due_at__isnull=True,
    )
    return Prompt.objects.filter(
        Q(source=Prompt.Source.SEED) | (Q(source=Prompt.Source.CONVERSATION) & consenting & ~Exists(kept_out))
    )


def rankings() -> QuerySet[Ranking]:
    """Rankings that count, without those that have a hidden or kept-out completion."""
    kept_out = Completion.objects.filter(Q(hidden_at__isnull=False) | Q(never_train=True), task=OuterRef("task_id"))
    return Ranking.objects.filter(
        ~suspended(), ~Exists(kept_out), withdrawn_at__isnull=True, task__prompt__in=prompts()
    )


def violations() -> QuerySet[Violation]:
    """Flags of completions and of chat messages; not those of messages that a moderator found unfounded."""
    unfounded = Report.objects.filter(
        message__isnull=False,
        message=OuterRef("message"),
        reporter=OuterRef("annotator"),
        rule_version=OuterRef("rule_version"),
        state=Report.State.DISMISSED,
    )
    flagged_again = Report.objects.filter(
        message=OuterRef("message"), reporter=OuterRef("annotator"), rule_version=OuterRef("rule_version")
    ).exclude(state=Report.State.DISMISSED)
    of_completions = Q(
        completion__hidden_at__isnull=True,
        completion__never_train=False,
        completion__task__prompt__in=prompts(),
    )
    # A prefix that a reply had to begin with is a person's text, who could then flag their own words.
    of_messages = Q(message__reply__isnull=True) | Q(message__reply__prefix="")
    of_messages &= Q(
        message__hidden_at__isnull=True,
        message__never_train=False,
        message__conversation__may_train=True,
        message__conversation__deleted_at__isnull=True,
        message__conversation__owner__deletion_due_at__isnull=True,
    )
    return Violation.objects.filter(
        ~suspended(),
        ~Exists(unfounded) | Exists(flagged_again),
        Q(completion__isnull=False) & of_completions | Q(message__isnull=False) & of_messages,
        Q(ranking__isnull=True) | Q(ranking__withdrawn_at__isnull=True),
    )


def comparisons() -> QuerySet[Comparison]:
    """Choices that count, between two complete replies, in conversations that may train."""
    sides = ("pair__left", "pair__right")
    complete = {f"{side}__state": Reply.State.COMPLETE for side in sides}
    texts = ("pair__message", *(f"{side}__message" for side in sides))
    shown = {f"{text}__hidden_at": None for text in texts} | {f"{text}__never_train": False for text in texts}
    return Comparison.objects.filter(
        ~suspended(),
        **complete,
        **shown,
        discounted="",
        withdrawn_at=None,
        pair__message__conversation__may_train=True,
        pair__message__conversation__deleted_at=None,
        pair__message__conversation__owner__deletion_due_at=None,
    )


def thumbs() -> QuerySet[Thumb]:
    """Thumbs on complete replies that the policy wrote from the first word on, in conversations that may train."""
    return Thumb.objects.filter(
        ~Q(person__suspended_until__gt=timezone.now()),
        person__is_active=True,
        message__reply__state=Reply.State.COMPLETE,
        message__reply__prefix="",
        message__hidden_at=None,
        message__never_train=False,
        message__conversation__may_train=True,
        message__conversation__deleted_at=None,
        message__conversation__owner__deletion_due_at=None,
    )


def suspended() -> Q:
    """Judgements of suspended or closed accounts, which the next snapshot leaves out. Those of erased people stay."""
    closed = Q(annotator__is_active=False, annotator__erased_at__isnull=True)
    return Q(annotator__suspended_until__gt=timezone.now()) | closed
