"""Hands a probe's dialogue over to its second judgement: checks it, and makes a ranking task of its last reply.

Whoever judges it gets the task from the queue like any other, and asks themself the same about probes and harmless
twins. What the prober thinks of the reply is stored as a flag, which trains beside the second one.
"""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from chat.conversations.open_path import ShownMessage
from chat.models import Message, Reply
from chat.prompts.history import assistants_preamble, turns_seen
from feedback import rules, trainable
from feedback.models import Completion, Opening, Probe, Prompt, RankingTask, Violation
from feedback.probing import talking
from feedback.probing.errors import (
    GradeMissing,
    NoConsent,
    NotOneDialogue,
    NotYourProbe,
    OtherPolicyReplied,
    ReplyBlocked,
    ReplyMissing,
    TwinChanged,
)
from feedback.prompts import digest, language_of
from feedback.splits import split_of_conversation


@transaction.atomic
def hand_over(pk: int, prober: User, grade: int | None) -> Probe:
    """`grade`: how the prober sees the last reply, by Violation.Grade; not asked of a harmless twin.

    Raises a ProbeError; after it nothing has changed.
    """
    Probe.objects.select_for_update().filter(pk=pk).first()
    probe = talking.own(pk, prober)
    shown = talking.transcript(probe)
    _check(probe, shown)
    if not probe.is_benign and grade not in Violation.Grade.values:
        raise GradeMissing
    probe.task = _task(probe, shown)
    probe.is_fresh = _is_fresh(probe, shown[0].message)
    probe.state, probe.handed_over_at, probe.lease_until = Probe.State.HANDED_OVER, timezone.now(), None
    probe.save()
    if not probe.is_benign and grade is not None:
        _store_grade(probe, prober, grade)
    return probe


def _check(probe: Probe, shown: Sequence[ShownMessage]) -> None:
    last = shown[-1].reply if shown else None
    if last is not None and last.state == Reply.State.BLOCKED:
        raise ReplyBlocked
    if last is None or last.state != Reply.State.COMPLETE or not shown[-1].text.strip():
        raise ReplyMissing
    if probe.conversation is None or not probe.conversation.may_train:
        raise NoConsent
    replies = [turn.reply for turn in shown if turn.reply is not None]
    everything = Message.objects.filter(conversation=probe.conversation).count()
    if everything != len(shown) or any(reply.prefix or reply.instructions for reply in replies):
        raise NotOneDialogue
    if any(turn.is_hidden or turn.message.never_train for turn in shown):
        raise NotOneDialogue
    if any(reply.policy_id not in (probe.policy_id, None) for reply in replies) or last.policy_id is None:
        raise OtherPolicyReplied
    if probe.is_benign and probe.opening is not None and shown[0].text.strip() != asked_of(probe):
        raise TwinChanged


def asked_of(probe: Probe) -> str:
    """The words of its opening; empty without one."""
    return str(probe.opening.messages[-1]["content"]).strip() if probe.opening is not None else ""


def _task(probe: Probe, shown: Sequence[ShownMessage]) -> RankingTask:
    reply = shown[-1].reply
    if reply is None:
        raise ReplyMissing
    task = RankingTask.objects.create(
        prompt=_prompt(probe, shown[-2].message, reply),
        policy=probe.policy,
        project=probe.project,
        overlap=probe.project.overlap,
    )
    Completion.objects.create(
        task=task, index=0, text=shown[-1].text, finish_reason=reply.finish_reason, parameters=reply.parameters
    )
    return task


def _prompt(probe: Probe, asked: Message, reply: Reply) -> Prompt:
    """What the policy read. A dialogue with the very same words is the same prompt; raises NoConsent where that was
    withdrawn."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in turns_seen(reply.message)]
    row, is_new = Prompt.objects.get_or_create(
        sha256=digest(turns),
        defaults={
            "messages": turns,
            "preamble_turns": len(assistants_preamble(reply)),
            "source": Prompt.Source.CONVERSATION,
            "split": split_of_conversation(asked),
            "elicits": None if probe.is_benign else probe.rule,
            "language": language_of(asked.text),
            "message": asked,
        },
    )
    if not is_new and not trainable.prompts().filter(pk=row.pk).exists():
        raise NoConsent
    return row


def _store_grade(probe: Probe, prober: User, grade: int) -> None:
    version = rules.newest_of(probe.rule)
    if version is None or probe.task is None:
        raise NotYourProbe
    Violation.objects.create(
        rule_version=version,
        completion=probe.task.completions.get(),
        annotator=prober,
        is_violation=grade < Violation.Grade.UNSURE,
        grade=grade,
    )


def _is_fresh(probe: Probe, first: Message) -> bool:
    """Whether the policy cannot have been trained on words like the first of the dialogue: they are held out, or
    nothing near them was there when the policy was made."""
    own = Opening.objects.filter(message=first).select_related("group").first()
    if own is None:
        return False
    if own.group.split == Prompt.Split.HELD_OUT:
        return True
    others = own.group.openings.exclude(message__conversation=first.conversation_id)
    made = probe.policy.created_at
    suggested = (Prompt.Source.PROBE, Prompt.Source.TWIN)
    known = others.filter(prompt__created_at__lt=made).exclude(prompt__source__in=suggested)
    return not (known.exists() or others.filter(message__created_at__lt=made).exists())
