"""Prompts to judge: their hash, and making them from conversations that may train."""

import hashlib
import json
from collections.abc import Sequence

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from chat.errors import TooLong
from chat.models import Message, Policy, Reply
from chat.prompts.history import assistants_preamble, prompt_for
from chat.prompts.preamble import with_system_prompt
from chat.prompts.rendering import Turn as ChatTurn
from feedback import trainable
from feedback.masking.conversations import masker_of
from feedback.masking.masker import counted, masked_turns
from feedback.models import Probe, Prompt, RankingTask
from feedback.splits import split_of_conversation

SYSTEM_PROMPT = "system_prompt"
"""Among the parameters of a completion: the site's own instructions before its prompt."""
CONTEXT_TURNS = 8
"""A prompt has at most this many turns before the last, beside the assistant's instructions and examples."""

Turn = dict[str, str]


def digest(messages: Sequence[Turn]) -> str:
    text = json.dumps([[turn["role"], turn["content"]] for turn in messages], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def as_served(prompt: Prompt, system_prompt: str) -> list[ChatTurn]:
    """The prompt as a policy reads it, after the site's own instructions (chat.site_choices.system_prompt_for); one
    that was made from a conversation keeps those with which that was answered."""
    return with_system_prompt([_chat_turn(turn) for turn in prompt.messages], system_prompt)


def as_answered(task: RankingTask) -> list[ChatTurn]:
    """The prompt as the policy read it whose replies are ranked: the site's instructions may have changed since."""
    first = next(iter(task.completions.all()), None)
    return as_served(task.prompt, str(first.parameters.get(SYSTEM_PROMPT, "")) if first is not None else "")


def last_user_message(prompt: Prompt) -> str:
    return str(prompt.messages[-1]["content"])


def _new_prompt_messages(limit: int) -> QuerySet[Message]:
    """Newest user messages of consenting conversations that were answered and are not prompts yet.

    None of a conversation in which the person's own instructions were used: what annotators would read could repeat
    them, and they are personal.
    """
    personal = Reply.objects.filter(message__conversation=OuterRef("conversation")).exclude(instructions="")
    answered = Message.objects.filter(parent=OuterRef("pk"), reply__state=Reply.State.COMPLETE)
    used = Prompt.objects.filter(message=OuterRef("pk"))
    probed = Probe.objects.filter(conversation=OuterRef("conversation"))
    return Message.objects.filter(
        trainable.may_train("conversation"),
        Exists(answered),
        ~Exists(used),
        ~Exists(personal),
        ~Exists(probed),  # made on purpose: what it tempts to is asked about by feedback.probing alone
        role=Message.Role.USER,
        hidden_at__isnull=True,
        never_train=False,
    ).order_by("-id")[:limit]


def take_from_conversations(limit: int, policy: Policy) -> int:
    """Makes prompts from messages of conversations that may train; returns how many are new.

    A prompt is masked (feedback.masking) and trimmed to the policy's context before it is stored, so that annotators
    read what the policy reads.
    """
    made = 0
    for message in _new_prompt_messages(limit).select_related("conversation"):
        turns, preamble = _thread(message), _preamble_of(message)
        if turns is not None:
            masker = masker_of(message.conversation_id)
            turns, preamble = masked_turns(turns, masker), masked_turns(preamble, masker)
        if turns is None or (turns := _fitted(policy, preamble, turns)) is None:
            continue
        _prompt, is_new = Prompt.objects.get_or_create(
            sha256=digest(turns),
            defaults={
                "messages": turns,
                "preamble_turns": len(preamble),
                "masked": counted([turn["content"] for turn in turns]),
                "source": Prompt.Source.CONVERSATION,
                "split": split_of_conversation(message),
                "language": language_of(message.text),
                "message": message,
            },
        )
        made += is_new
    return made


def _thread(message: Message) -> list[Turn] | None:
    """The turns up to a message; None if one of them is hidden or kept out of training."""
    turns: list[Turn] = []
    at: Message | None = message
    while at is not None and len(turns) <= CONTEXT_TURNS:
        if at.hidden_at or at.never_train:
            return None
        if at.text:
            turns.append({"role": at.role, "content": at.text})
        at = at.parent
    turns.reverse()
    while turns and turns[0]["role"] == Message.Role.ASSISTANT:
        turns.pop(0)
    return turns


def _preamble_of(message: Message) -> list[Turn]:
    """The assistant's instructions and examples with which the message was last answered."""
    answered = message.children.filter(reply__state=Reply.State.COMPLETE).select_related("reply").order_by("-pk")
    newest = answered.first()
    reply = newest.reply_or_none if newest is not None else None
    return _plain(assistants_preamble(reply)) if reply is not None else []


def _fitted(policy: Policy, preamble: list[Turn], turns: list[Turn]) -> list[Turn] | None:
    """The preamble and the turns, without the oldest that do not fit the context; None if the last does not fit."""
    chat_turns = [_chat_turn(turn) for turn in (*preamble, *turns)]
    try:
        return _plain(prompt_for(policy, chat_turns, settings.FEEDBACK_COMPLETION_TOKENS, len(preamble)).messages)
    except TooLong:
        return None


def _chat_turn(turn: Turn) -> ChatTurn:
    return ChatTurn(role=turn["role"], content=turn["content"])


def _plain(turns: Sequence[ChatTurn]) -> list[Turn]:
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def language_of(text: str) -> str:
    """ "ko" where Hangul is written, else "en"."""
    return "ko" if any("가" <= letter <= "힣" for letter in text) else "en"
