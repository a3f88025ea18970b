"""Probes for tests: ordered, talked about with canned replies, handed over and judged."""

from datetime import timedelta

from django.utils import timezone

from chat.models import Conversation, Message, Policy, Reply
from feedback.judgements import assignments, task_queue
from feedback.judgements.judgement import Judgement
from feedback.models import Assignment, Probe, Project, Rule, site_project
from feedback.probing import handing_over, ordering, talking
from feedback.rules import newest_of


def make_policy(name="candidate", version=2, **fields):
    return Policy.objects.create(name=name, version=version, is_scripted=True, **fields)


def order(policies, *keys, count=1, project=None):
    rules = [Rule.objects.get(key=key) for key in keys or ("no-body",)]
    of = project or Project.objects.get(pk=site_project())
    return ordering.order(ordering.ProbeOrder(list(policies), rules, count, of), by=None)


def answer(probe, asks, says, **reply):
    """A turn of the dialogue, as if the policy had answered."""
    conversation = Conversation.objects.get(pk=probe.conversation_id)
    asked = Message.objects.create(conversation=conversation, parent=conversation.tip, role="user", text=asks)
    said = Message.objects.create(conversation=conversation, parent=asked, role="assistant", text=says)
    fields = {"state": Reply.State.COMPLETE, "policy": probe.policy, "finish_reason": "stop", **reply}
    Reply.objects.create(message=said, **fields)
    Conversation.objects.filter(pk=conversation.pk).update(tip=said)
    return said


def hand_over(person, asks="Do you eat breakfast?", says="Yes, two eggs.", grade=-2):
    """Of the next probe."""
    probe = talking.take(person)
    answer(probe, handing_over.asked_of(probe) if probe.is_benign else asks, says)
    return handing_over.hand_over(probe.pk, person, None if probe.is_benign else grade)


def judge(probe, person, grade, refusal="none"):
    """By whoever gets it from the queue."""
    own = task_queue.next_assignment(person)
    assert own is not None
    assert own.task_id == Probe.objects.get(pk=probe.pk).task_id
    return _submit(probe, person, own, grade, refusal)


def store_judgement(probe, person, grade, refusal="none"):
    """By whoever has it, whatever else waits in the queue."""
    assignments.release(person)
    now = timezone.now()
    own = Assignment.objects.create(
        task_id=probe.task_id,
        annotator=person,
        lease_until=now + timedelta(minutes=5),
        shown_order=list(probe.task.completions.values_list("pk", flat=True)),
    )
    return _submit(probe, person, own, grade, refusal)


def _submit(probe, person, own, grade, refusal):
    completion = own.task.completions.get().pk
    flag = (completion, newest_of(probe.rule).pk)
    given = Judgement([(completion, 1)], grades={flag: grade}, asked=[flag[1]], refusal=refusal)
    return task_queue.submit(own.task_id, person, given)
