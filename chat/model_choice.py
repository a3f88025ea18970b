"""The model that a person picks for a conversation: the options, the choice, and whether it still applies."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import get_language

from accounts.models import User
from chat import languages, policies
from chat.models import Conversation, Policy, ShareOfChats


@dataclass(frozen=True)
class ModelOption:
    """A model in the picker."""

    policy: Policy
    is_own: bool
    """The person made it from data of their own."""

    @property
    def name(self) -> str:
        return self.policy.label or self.policy.name

    @property
    def language_warning(self) -> str:
        """For a page in a language that the model does not speak."""
        return languages.warning(self.policy, get_language() or settings.LANGUAGE_CODE)


def options_for(person: User) -> list[ModelOption]:
    """The live model first, then the person's own, then the others, newest first.

    Not one that is tried, unless it is their own: its name must not be shown beside pairs that hide it.
    """
    found = [ModelOption(policy, policy.owner_id == person.pk) for policy in policies.visible_to(person)]
    shared = set(ShareOfChats.objects.values_list("policy", flat=True))
    found = [one for one in found if one.is_own or not (one.policy.is_on_trial or one.policy.pk in shared)]
    return sorted(found, key=lambda choice: (not choice.policy.is_live, not choice.is_own, -choice.policy.version))


def choose(conversation: Conversation, policy: Policy | None) -> None:
    """Applies from the next reply on; replies that are queued keep the model that they have."""
    conversation.policy = policy
    conversation.save(update_fields=["policy"])


def chosen(conversation: Conversation) -> Policy | None:
    """The model that its owner chose, as long as they may use it.

    One that is gone leaves the choice to the assistant: the page says so.
    """
    if conversation.policy_id is None:
        return None
    return policies.visible_to(conversation.owner).filter(pk=conversation.policy_id).first()
