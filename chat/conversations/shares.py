"""Which conversations a policy answers that is tried on a share of the chats, in place of the live one.

The share is one of conversations, and not of people: the chats that a tried policy takes are then spread over many
people, who each also chat with the live one. What is decided from their choices counts people
(rlhf.release.canary_figures), so that with the same number of chats more of them take part, and each of them can be
compared with themself. A conversation stays where it is as long as the policy is tried.
"""

import hashlib

from django.conf import settings
from django.utils import timezone

from chat.engines.loading import HEARTBEAT_LIMIT
from chat.models import Conversation, EngineProcess, Policy, ShareOfChats


def share_of(conversation: Conversation) -> ShareOfChats | None:
    """The share that the conversation is in. None without its owner's consent, and while no engine has the policy
    loaded: then the live one answers."""
    if not conversation.may_train or conversation.is_temporary or settings.CHAT_ENGINES < 2:
        return None
    share = ShareOfChats.objects.select_related("policy").first()
    if share is None or not contains(share, conversation):
        return None
    return share if _can_answer(share.policy) else None


def policy_of(conversation: Conversation) -> Policy | None:
    share = share_of(conversation)
    return None if share is None else share.policy


def contains(share: ShareOfChats, conversation: Conversation) -> bool:
    """By a hash that is uniform over conversations and the same at each turn."""
    drawn = hashlib.sha256(f"{share.salt}:{conversation.pk}".encode()).hexdigest()
    return int(drawn[:8], 16) / 16**8 * 100 < share.percent


def _can_answer(policy: Policy) -> bool:
    if policy.is_live or policy.retired_at is not None:
        return False
    alive = timezone.now() - HEARTBEAT_LIMIT
    return policy.engines.filter(state=EngineProcess.State.READY, heartbeat_at__gte=alive).exists()
