"""The lineage of a reply's policy, and the training uses of a conversation or of a person's judgements."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from chat.conversations import side_by_side
from chat.errors import StillBlind
from chat.models import Conversation, Reply
from feedback.masking.labels import masked_words
from feedback.models import Prompt
from rlhf import lineage
from rlhf.views.overview import user_of


@require_safe
def reply_page(request: HttpRequest, message_id: int) -> HttpResponse:
    """404 for a stranger's reply, as for one that does not exist; 409 while the comparison is blind."""
    reply = get_object_or_404(
        Reply.objects.select_related("message__conversation", "policy__base"),
        message=message_id,
        message__hidden_at=None,
        message__conversation__owner=user_of(request),
        message__conversation__deleted_at=None,
    )
    if side_by_side.is_blind(reply):
        context = {"reply": reply, "problem": StillBlind.message}
        return render(request, "rlhf/lineage.html", context, status=409)
    steps = lineage.steps(reply.policy) if reply.policy is not None else []
    return render(request, "rlhf/lineage.html", {"reply": reply, "steps": steps})


@require_safe
def conversation_page(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """The snapshots, runs and policies that used the conversation."""
    shown = get_object_or_404(Conversation, pk=conversation_id, owner=user_of(request), deleted_at=None)
    context = {"conversation": shown, "uses": lineage.uses_of(shown), "masked": _masked_in(shown)}
    return render(request, "rlhf/uses.html", context)


def _masked_in(conversation: Conversation) -> list[str]:
    """Of the longest prompt that was made of it, what annotators do not read."""
    prompts = Prompt.objects.filter(message__conversation=conversation).values_list("masked", flat=True)
    return masked_words(max(prompts, key=lambda counts: sum(counts.values()), default={}))


@require_safe
def own_texts_page(request: HttpRequest) -> HttpResponse:
    """The snapshots, runs and policies that used any conversation of the reader."""
    uses = lineage.uses_of_texts(user_of(request))
    policies = {policy.pk for use in uses for policy in use.policies}
    return render(request, "rlhf/text_uses.html", {"uses": uses, "policies": len(policies)})


@require_safe
def own_judgements_page(request: HttpRequest) -> HttpResponse:
    """The snapshots, runs and policies that used the reader's judgements."""
    uses = lineage.uses_of_judgements(user_of(request))
    policies = {policy.pk for use in uses for policy in use.policies}
    return render(request, "rlhf/my_uses.html", {"uses": uses, "policies": len(policies)})
