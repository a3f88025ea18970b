"""Selects the judgements and prompts that may be trained on: with consent, and not hidden, withdrawn or kept out."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts import consents
from chat.models import Message, Reply
from feedback.models import (
    Comparison,
    Completion,
    CompletionThumb,
    Prompt,
    Ranking,
    RankingTask,
    Report,
    TaskAnswer,
    Thumb,
    Violation,
)


def may_train(conversation: str) -> Q:
    """Rows whose conversation, found by the lookup, is open to others: its owner switched that on there, has agreed
    to the words that say who reads it (accounts.consents), and stays."""
    switched_on = {"may_train": True, "deleted_at__isnull": True, "owner__deletion_due_at__isnull": True}
    named = Q(**{f"{conversation}__{field}": value for field, value in switched_on.items()})
    return named & consents.given_by(f"{conversation}__owner")


def withdrawn(ids: Collection[UUID]) -> set[UUID]:
    """Those of the conversations that may not train now."""
    open_ones = Message.objects.filter(may_train("conversation"), conversation__in=ids)
    return set(ids) - set(open_ones.values_list("conversation", flat=True).distinct())


def prompts() -> QuerySet[Prompt]:
    """Prompts of the seed and of projects, and those of conversations that may train, without a hidden or kept-out
    turn in them."""
    kept_out = Message.objects.filter(
        Q(hidden_at__isnull=False) | Q(never_train=True),
        conversation=OuterRef("message__conversation"),
        pk__lte=OuterRef("message_id"),
    )
    consenting = may_train("message__conversation")
    return Prompt.objects.filter(
        Q(source__in=(Prompt.Source.SEED, Prompt.Source.PROJECT))
        | (Q(source=Prompt.Source.CONVERSATION) & consenting & ~Exists(kept_out))
    )


def of_prompts(column: str) -> Exists:
    """Of rows whose `column` is a prompt: that it is one of those above. Looked up for each row that is asked about,
    and so for a page that wants a few rows of many."""
    return Exists(prompts().filter(pk=OuterRef(column)))


def judged_prompts() -> QuerySet[Prompt]:
    """Those above, and imported ones: the judgements of these may train, but no policy answers them by itself."""
    return Prompt.objects.filter(Q(pk__in=prompts()) | Q(source=Prompt.Source.IMPORTED))


def rankings() -> QuerySet[Ranking]:
    """Rankings that count, without those that have a hidden or kept-out completion, an answer that was known, or one
    reply alone, which has no order, and those that were faster than reading allows."""
    kept_out = Completion.objects.filter(Q(hidden_at__isnull=False) | Q(never_train=True), task=OuterRef("task_id"))
    return Ranking.objects.filter(
        ~suspended(),
        ~Exists(kept_out),
        ~overruled(),
        ~Q(task__gold__is_active=True),
        task__probe=None,
        withdrawn_at__isnull=True,
        too_fast=False,
        task__prompt__in=judged_prompts(),
    )


def answers() -> QuerySet[TaskAnswer]:
    """Answers that count, by the same conditions."""
    kept_out = Completion.objects.filter(Q(hidden_at__isnull=False) | Q(never_train=True), task=OuterRef("task_id"))
    return TaskAnswer.objects.filter(
        ~suspended(),
        ~Exists(kept_out),
        ~overruled(),
        withdrawn_at__isnull=True,
        too_fast=False,
        task__prompt__in=judged_prompts(),
    )


def overruled() -> Q:
    """Of rankings and answers: those in whose place a lead's decision stands."""
    return Q(task__lead=RankingTask.Lead.DECIDED, is_adjudication=False)


def violations() -> QuerySet[Violation]:
    """Flags of completions and of chat messages; not those that a moderator found unfounded, whoever made them, nor
    where the annotator was unsure."""
    of_completions = ~Q(completion__task__gold__is_active=True) & Q(
        completion__hidden_at__isnull=True,
        completion__never_train=False,
        completion__task__prompt__in=judged_prompts(),
    )
    # A prefix that a reply had to begin with is a person's text, who could then flag their own words.
    of_messages = Q(message__reply__isnull=True) | Q(message__reply__prefix="")
    of_messages &= Q(message__hidden_at__isnull=True, message__never_train=False)
    of_messages &= may_train("message__conversation")
    return Violation.objects.filter(
        ~suspended(),
        Q(grade=None) | ~Q(grade=Violation.Grade.UNSURE),
        Q(is_violation=False) | ~_found_unfounded("completion") & ~_found_unfounded("message"),
        Q(completion__isnull=False) & of_completions | Q(message__isnull=False) & of_messages,
        Q(ranking__isnull=True) | Q(ranking__withdrawn_at__isnull=True, ranking__too_fast=False),
        Q(answer__isnull=True) | Q(answer__withdrawn_at__isnull=True, answer__too_fast=False),
        ~Q(answer__task__lead=RankingTask.Lead.DECIDED, answer__is_adjudication=False),
    )


def _found_unfounded(column: str) -> Q:
    """Whether a moderator dismissed reports of the same text by the same rule, and nobody has reported it since: then
    a moderator has not decided again."""
    same = Report.objects.filter(
        **{f"{column}__isnull": False, column: OuterRef(column)}, rule_version=OuterRef("rule_version")
    )
    standing = same.filter(state__in=(Report.State.OPEN, Report.State.DECIDED))
    return Q(Exists(same.filter(state=Report.State.DISMISSED))) & ~Q(Exists(standing))


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
    ).filter(may_train("pair__message__conversation"))


def thumbs() -> QuerySet[Thumb]:
    """Thumbs on complete replies that the policy wrote from the first word on, in conversations that may train."""
    return Thumb.objects.filter(
        ~Q(person__suspended_until__gt=timezone.now()),
        may_train("message__conversation"),
        person__is_active=True,
        message__reply__state=Reply.State.COMPLETE,
        message__reply__prefix="",
        message__hidden_at=None,
        message__never_train=False,
    )


def completion_thumbs() -> QuerySet[CompletionThumb]:
    """Thumbs on completions, all of them imported."""
    return CompletionThumb.objects.filter(
        ~suspended(),
        completion__hidden_at=None,
        completion__never_train=False,
        completion__task__prompt__in=judged_prompts(),
    )


def suspended() -> Q:
    """Judgements of suspended or closed accounts, which the next snapshot leaves out. Those of erased people stay."""
    closed = Q(annotator__is_active=False, annotator__erased_at__isnull=True)
    return Q(annotator__suspended_until__gt=timezone.now()) | closed
