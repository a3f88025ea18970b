"""Short titles by the model, for new conversations, while nobody waits for it; one that is poor is not used."""

import logging
import re
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from chat import guards, policies, site_choices
from chat.completions.bulk import Completed, complete_each
from chat.completions.giving_way import NotWanted
from chat.conversations.titles import on_one_line
from chat.engines.engine import Parameters
from chat.errors import Blocked, ChatError
from chat.models import Conversation, Message, Policy, Reply
from chat.prompts.rendering import Turn
from chat.queue import people

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Titles of one sweep: whoever writes meanwhile waits for one of them at most."""
WITHIN = timedelta(hours=1)
"""After the beginning of a conversation; later its owner knows it by the title that it has."""
READ_CHARS = 600
"""Of each message; a title comes from the beginning."""
MAX_TOKENS = 24
LONGEST, FEWEST_WORDS, MOST_WORDS = 50, 2, 10
ABOUT_ITSELF = re.compile(
    r"\b(?:titles?|conversations?|chats?|users?|assistants?|models?|summary|topic)\b"
    r"|\b(?:sure|here is|here's|i am|i'm|i can)\b"
    r"|제목|대화|사용자|어시스턴트",
    re.IGNORECASE,
)
"""What a model says instead of a title."""
EXAMPLES = (
    ("How do I cook rice without a rice cooker?", "Cooking rice without a cooker"),
    ("I want to learn the guitar, where do I start?", "Starting to learn the guitar"),
    ("My phone battery drains too fast", "Phone battery drains fast"),
    ("Who invented the telephone?", "Inventor of the telephone"),
    ("Write a poem about the sea", "Poem about the sea"),
)
WORD = re.compile(r"[^\W\d_]+")


def title_new_ones() -> int:
    """Gives titles to conversations whose first reply is complete; returns how many took one. Each is tried once."""
    if not site_choices.get().titles_by_model:
        return 0
    taken = 0
    for conversation in _untried()[:AT_ONCE]:
        try:
            taken += _try(conversation)
        except NotWanted as reason:
            log.info("no title was made: %s", reason)
            break
    return taken


def awaited(ids: Collection[UUID]) -> set[UUID]:
    """Those of the conversations that may get a title soon."""
    if not site_choices.get().titles_by_model:
        return set()
    return set(_untried().filter(pk__in=list(ids)).values_list("pk", flat=True))


def _untried() -> QuerySet[Conversation]:
    answered = Reply.objects.filter(message__conversation=OuterRef("pk"), state=Reply.State.COMPLETE)
    return Conversation.objects.filter(
        Exists(answered),
        titled_by=Conversation.TitledBy.FIRST_MESSAGE,
        expires_at=None,
        deleted_at=None,
        created_at__gt=timezone.now() - WITHIN,
    ).order_by("created_at")


def _room() -> int:
    """Room for bulk work. Raises NotWanted where people want the engine: a title can wait."""
    room = people.room_for_bulk()
    if room == 0:
        raise NotWanted("people come first")
    return room


def _try(conversation: Conversation) -> bool:
    """Whether the conversation took a title. An engine that is away is no try. Raises NotWanted."""
    first = _first_exchange(conversation)
    if first is None:
        return _settle(conversation, "")
    question, answer = first
    try:
        made = good_title(_written(policies.live(), question), question, answer)
        if made:
            guards.check_reply(made, conversation)
    except Blocked:
        made = ""
    except ChatError as error:
        log.info("no title was made: %s: %s", error.code, error)
        return False
    return _settle(conversation, made)


def _settle(conversation: Conversation, title: str) -> bool:
    """The update requires that nobody has given a title meanwhile."""
    by = Conversation.TitledBy
    untouched = Conversation.objects.filter(pk=conversation.pk, titled_by=by.FIRST_MESSAGE)
    if not title:
        untouched.update(titled_by=by.FIRST_MESSAGE_FOR_GOOD)
        return False
    return bool(untouched.update(titled_by=by.MODEL, title=title))


def _first_exchange(conversation: Conversation) -> tuple[str, str] | None:
    """The first message and its complete reply, if both may be read."""
    shown = conversation.messages.filter(hidden_at=None, role=Message.Role.ASSISTANT)
    answer = shown.filter(reply__state=Reply.State.COMPLETE).select_related("parent").order_by("pk").first()
    question = answer.parent if answer is not None else None
    if answer is None or question is None or question.hidden_at is not None:
        return None
    return question.text, answer.text


def _prompt_of(question: str) -> list[Turn]:
    """With examples, since small models follow a pattern sooner than an instruction."""
    turns = [Turn(role="system", content="You name topics in a few words.")]
    for asked, named in EXAMPLES:
        turns += [Turn(role="user", content=f"Topic of: {asked}"), Turn(role="assistant", content=named)]
    return [*turns, Turn(role="user", content=f"Topic of: {_beginning(question)}")]


def _written(policy: Policy, question: str) -> Completed:
    """What the policy answers when it is asked for a title. Raises NotWanted, EngineError, TooLong, BadPolicy."""
    _room()
    parameters = Parameters(temperature=0.0, max_completion_tokens=MAX_TOKENS)
    made = complete_each(policy, [_prompt_of(question)], parameters=parameters, look=_room, starts_engine=False)
    [(_index, [completed])] = made
    return completed


def good_title(completed: Completed, question: str, answer: str) -> str:
    """The title in the completion, cleaned; empty where it is none.

    It must have ended by itself, be one line of a few words in the script of the question, all of them said before,
    repeat none, and not talk about titles.
    """
    line = completed.text.strip().split("\n")[0] if completed.finish_reason == "stop" else ""
    title = re.sub(r"^(?:title|제목)\s*[:：]\s*", "", on_one_line(line), flags=re.IGNORECASE).strip(" \"'“”‘’*#`.:")
    words = [word.lower() for word in WORD.findall(title)]
    telling = [word for word in words if len(word) >= (2 if _is_korean(title) else 4)]
    said = f"{question} {answer}".lower()
    is_good = (
        len(completed.text.strip().splitlines()) == 1
        and FEWEST_WORDS <= len(words) <= MOST_WORDS
        and len(title) <= LONGEST
        and 0 < len(set(telling)) == len(telling)
        and _is_korean(title) == _is_korean(question)
        and not ABOUT_ITSELF.search(title)
        and not title.endswith("?")
        and all(word in said for word in telling)
    )
    return title if is_good else ""


def _beginning(text: str) -> str:
    return on_one_line(text)[:READ_CHARS]


def _is_korean(text: str) -> bool:
    return any("가" <= letter <= "힣" for letter in text)
