"""Template tags of feedback: the reader's thumb on a reply, the reasons to choose from, the languages to judge in."""

from typing import Any

from django import template
from django.forms import model_to_dict
from django.template import Context

from accounts.models import User
from chat.languages import name_of
from chat.models import Message
from feedback import rules
from feedback.forms import CareForm
from feedback.judgements import care, languages, thumbs
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


@register.simple_tag
def judging_care(annotator: User) -> dict[str, Any]:
    """The form of an annotator's own limits, and each group of rules with its rules and whether they are left out."""
    chosen = care.choices_of(annotator)
    groups = [
        {
            "key": versions[0].rule.group,
            "name": name,
            "is_out": versions[0].rule.group in chosen.left_out_groups,
            "is_open": any(version.rule.key in chosen.left_out_rules for version in versions),
            "rules": [(version, version.rule.key in chosen.left_out_rules) for version in versions],
        }
        for name, versions in rules.grouped(rules.current())
    ]
    return {"form": CareForm(initial=model_to_dict(chosen, CareForm.base_fields)), "groups": groups}


@register.simple_tag
def judging_languages(annotator: User) -> list[dict[str, Any]]:
    """Each language that an annotator can choose, with whether they judge in it now."""
    now = languages.languages_of(annotator)
    return [{"code": code, "name": name_of(code), "is_on": code in now} for code in languages.offered()]
