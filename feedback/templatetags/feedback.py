"""Template tags for thumbs: the reader's own on a reply, and the reasons to choose from."""

from typing import Any

from django import template
from django.template import Context

from chat.models import Message
from feedback.judgements import thumbs
from feedback.models import Thumb

register = template.Library()
CACHE = "feedback_thumbs"


@register.simple_tag(takes_context=True)
def thumb_on(context: Context, message: Message | None) -> Thumb | None:
    """The reader's own thumb on a message."""
    if not isinstance(message, Message):
        return None
    request = context["request"]
    # Cached on the request: included templates do not see what a template stores in its own context.
    shared: dict[Any, dict[int, Thumb]] = vars(request).setdefault(CACHE, {})
    if message.conversation_id not in shared:
        mine = Thumb.objects.filter(message__conversation=message.conversation_id, person=request.user)
        shared[message.conversation_id] = {thumb.message_id: thumb for thumb in mine}
    return shared[message.conversation_id].get(message.pk)


@register.simple_tag
def thumb_reasons() -> dict[str, Any]:
    return {"up": thumbs.UP_REASONS.items(), "down": thumbs.DOWN_REASONS.items()}
