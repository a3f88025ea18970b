"""Assistants: who may use and change which, changes to them, and what they mean for a reply."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import audit
from accounts.models import User
from accounts.roles import Role
from chat import policies
from chat.engines.engine import Parameters
from chat.errors import PolicyRetired
from chat.models import Assistant, Conversation, Policy
from chat.prompts.rendering import Turn

MAX_OWN = 200
MAX_EXAMPLES = 20
CONTENT = ("name", "description", "system_prompt", "examples", "parameters", "policy", "is_shared")


def usable_by(person: User) -> QuerySet[Assistant]:
    """Their own and the shared ones."""
    mine_or_shared = Q(owner=person) | Q(is_shared=True)
    return Assistant.objects.filter(mine_or_shared, deleted_at=None).select_related("policy", "owner")


def may_change(person: User, assistant: Assistant) -> bool:
    """A shared one can be changed by admins alone, whoever made it."""
    return person.has_role(Role.ADMIN) if assistant.is_shared else assistant.owner_id == person.pk


def deleted_of(person: User) -> QuerySet[Assistant]:
    """Deleted ones that the person may restore."""
    rows = Assistant.objects.filter(deleted_at__isnull=False)
    if person.has_role(Role.ADMIN):
        return rows.filter(Q(owner=person) | Q(is_shared=True))
    return rows.filter(owner=person, is_shared=False)


def has_room(person: User) -> bool:
    return Assistant.objects.filter(owner=person, deleted_at=None).count() < MAX_OWN


def named_policies(person: User) -> QuerySet[Policy]:
    """Models that an assistant of the person may name."""
    return policies.visible_to(person)


# --- changes ------------------------------------------------------------------------------------------------------


def save(actor: User, assistant: Assistant, content: Mapping[str, Any]) -> Assistant:
    """Creates or edits it. Changes of an assistant that is or was shared go into the audit log."""
    with transaction.atomic():
        is_new = assistant._state.adding
        before = {} if is_new else _content(Assistant.objects.select_for_update().get(pk=assistant.pk))
        for name, value in content.items():
            setattr(assistant, name, value)
        assistant.updated_at = timezone.now()
        assistant.save()
        after = _content(assistant)
        changed = [name for name in CONTENT if before.get(name) != after[name]]
        if changed and (after["is_shared"] or before.get("is_shared")):
            audit.record(
                actor,
                "assistant.create" if is_new else "assistant.edit",
                assistant,
                before={name: before[name] for name in changed if name in before},
                after={name: after[name] for name in changed},
            )
    return assistant


def duplicate(actor: User, assistant: Assistant, name: str) -> Assistant:
    """A copy of the person's own, under another name."""
    content = {field: getattr(assistant, field) for field in CONTENT} | {"name": name, "is_shared": False}
    return save(actor, Assistant(owner=actor), content)


def delete(actor: User, assistant: Assistant) -> None:
    """Conversations keep their reference, since it may be restored; until then replies come without it."""
    _set_deleted(actor, assistant, "assistant.delete", is_deleted=True)


def restore(actor: User, assistant: Assistant) -> None:
    _set_deleted(actor, assistant, "assistant.restore", is_deleted=False)


def choose(conversation: Conversation, assistant: Assistant | None) -> None:
    """Applies from the next reply on; replies that are queued keep what they were queued with."""
    conversation.assistant = assistant
    conversation.save(update_fields=["assistant"])


# --- effect on a reply -----------------------------------------------------------------------------------


def applied(conversation: Conversation) -> Assistant | None:
    """The conversation's assistant, if its owner may still use it."""
    if conversation.assistant_id is None:
        return None
    return usable_by(conversation.owner).filter(pk=conversation.assistant_id).first()


def preamble(assistant: Assistant | None, system_prompt: str = "") -> list[Turn]:
    """Instructions and examples as the turns before a conversation; the site's own `system_prompt` where the
    assistant has no instructions."""
    instructions = (assistant.system_prompt if assistant else "") or system_prompt
    turns = [Turn(role="system", content=instructions)] if instructions else []
    for example in assistant.examples if assistant else ():
        turns.append(Turn(role="user", content=example["user"]))
        turns.append(Turn(role="assistant", content=example["assistant"]))
    return turns


def parameters_of(assistant: Assistant | None) -> Parameters:
    """The site's parameters with the assistant's own. Raises BadParameters."""
    own = assistant.parameters if assistant else {}
    return Parameters.from_json(default_parameters().to_json() | own)


def named_policy(assistant: Assistant | None, person: User) -> Policy | None:
    """The policy that the assistant names for the person's replies; None: whichever is live. Raises PolicyRetired."""
    policy = assistant.policy if assistant else None
    if policy is not None and not policies.visible_to(person).filter(pk=policy.pk).exists():
        raise PolicyRetired(policy.name)
    return policy


def default_parameters() -> Parameters:
    """The site's parameters."""
    return Parameters(
        temperature=settings.CHAT_TEMPERATURE, max_completion_tokens=settings.CHAT_MAX_COMPLETION_TOKENS
    )


def _content(assistant: Assistant) -> dict[str, Any]:
    """The content as an audit entry stores it."""
    content = {name: getattr(assistant, name) for name in CONTENT}
    return content | {"policy": assistant.policy.name if assistant.policy else None}


def _set_deleted(actor: User, assistant: Assistant, verb: str, *, is_deleted: bool) -> None:
    with transaction.atomic():
        before = assistant.deleted_at is not None
        assistant.deleted_at = timezone.now() if is_deleted else None
        assistant.save(update_fields=["deleted_at"])
        if assistant.is_shared and before != is_deleted:
            audit.record(actor, verb, assistant, before={"deleted": before}, after={"deleted": is_deleted})
