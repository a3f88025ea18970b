"""The life of a reply: every transition, each a conditional UPDATE, so that only one of several can win.

    queued -> streaming -> complete | stopped | blocked | interrupted | failed
    queued -> stopped | failed | interrupted

Whatever ends a reply writes the message's text in the same transaction: the concatenation of its chunks.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from chat.errors import ChatError, TalkerGone
from chat.models import Chunk, Message, Policy, Reply
from chat.prompts.rendering import Turn
from chat.queue import usage, waiting, wakeup

State = Reply.State
STORE_ROW = "INSERT INTO chat_chunk (reply_id, seq, text) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
STORE_ALL = f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM chat_reply WHERE id = ANY(%s) AND owner = %s AND state = '{State.STREAMING}'
        ORDER BY id FOR UPDATE
    ), stored AS (
        INSERT INTO chat_chunk (reply_id, seq, text)
        SELECT reply, seq, text FROM json_to_recordset(%s) AS chunk (reply bigint, seq int, text text)
        JOIN held ON held.id = reply ORDER BY reply, seq
        ON CONFLICT DO NOTHING
    ), woken AS (SELECT pg_notify('{wakeup.CHANNEL}', ''))
    SELECT id FROM held WHERE EXISTS (SELECT FROM woken)
"""  # noqa: S608


@dataclass(frozen=True)
class NewChunk:
    """A chunk to be stored."""

    reply: int
    seq: int
    text: str


@dataclass(frozen=True)
class Ending:
    """How a reply ended, and what is known of its making by then."""

    reply: int
    state: Reply.State
    error: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """As its engine counted them, where it came to its end."""
    first_token_at: datetime | None = None
    blocked_by: str = ""
    keep: int | None = None
    """Chunks that stay, where the reply is cut; None: all."""


def queue(
    parent: Message,
    parameters: dict[str, object],
    *,
    preamble: Sequence[Turn] = (),
    key: str = "",
    prefix: str = "",
    policy: Policy | None = None,
) -> Reply:
    """A queued reply with its still empty message, as an answer to `parent`; inside a transaction.

    `preamble`: instructions and examples that stand before the conversation. `prefix` is what the reply begins with:
    its first chunk from the start. `policy`: the only one that may write it; None: whichever is live when it starts.
    """
    message = Message.objects.create(
        conversation_id=parent.conversation_id, parent=parent, role=Message.Role.ASSISTANT, key=key
    )
    reply = Reply.objects.create(
        message=message, parameters=parameters, preamble=list(preamble), prefix=prefix, policy=policy
    )
    if prefix:
        Chunk.objects.create(reply=reply, seq=1, text=prefix)
    return reply


def start(owner: str, policy: Policy, reply: int) -> bool:
    """Begins a queued reply on the policy that it keeps to its end. False if somebody was quicker."""
    now = timezone.now()
    queued = Reply.objects.filter(pk=reply, state=State.QUEUED, stop_requested=False)
    return bool(
        queued.update(
            state=State.STREAMING,
            owner=owner,
            policy=policy,
            started_at=now,
            lease_until=now + settings.REPLY_LEASE,
        )
    )


def started(ids: Sequence[int]) -> list[Reply]:
    """With what their writing needs."""
    return list(Reply.objects.filter(pk__in=ids).select_related("message__conversation").order_by("pk"))


def renew(owner: str) -> None:
    """Keeps the leases of everything that the owner is writing."""
    _held(owner).update(lease_until=timezone.now() + settings.REPLY_LEASE)


def let_go(owner: str, ids: Collection[int]) -> set[int]:
    """Those of the replies that the owner need not write any more; one whose stop was only asked for ends here."""
    held = dict(_held(owner).values_list("pk", "stop_requested"))
    to_stop = {pk for pk, is_asked_for in held.items() if is_asked_for}
    for pk in to_stop:
        stop(pk)
    return set(ids) - (held.keys() - to_stop)


def write(owner: str, chunks: Sequence[NewChunk]) -> set[int]:
    """Stores chunks of replies that the owner still holds; the ids of the others come back.

    Safe to repeat with the same chunks, as after an error that left unsaid whether it was done. Statements made once,
    by hand, one for each kind of database: thousands of chunks a second come through here, and Django's way takes
    three times as long.
    """
    ids = {chunk.reply for chunk in chunks}
    if not ids:
        return set()
    # The lock makes a stop wait, and a stop that came first makes this see it.
    if connection.vendor == "postgresql":
        return ids - _store_all(owner, sorted(ids), chunks)
    with transaction.atomic():
        held = set(_held(owner).filter(pk__in=ids).select_for_update().values_list("pk", flat=True))
        rows = [(chunk.reply, chunk.seq, chunk.text) for chunk in chunks if chunk.reply in held]
        with connection.cursor() as cursor:
            cursor.executemany(STORE_ROW, rows)
    return ids - held


def _store_all(owner: str, ids: list[int], chunks: Sequence[NewChunk]) -> set[int]:
    """Locks, stores and wakes the readers in one trip; those that are held."""
    rows = json.dumps([vars(chunk) for chunk in chunks], ensure_ascii=False)
    with connection.cursor() as cursor:
        cursor.execute(STORE_ALL, [ids, owner, rows])
        return {pk for (pk,) in cursor.fetchall()}


def end(owner: str, ending: Ending) -> None:
    """Ends a reply, if the owner still holds it. Safe to repeat."""
    with transaction.atomic():
        _end(_held(owner).filter(pk=ending.reply), ending)


def stop(reply_id: int, seq: int | None = None) -> bool:
    """Ends a live reply at the reader's wish, with the text up to chunk `seq` (None: all that there is).

    False if it had ended already. The talker finds out by itself and closes the engine's stream.
    """
    for policy in Policy.objects.filter(replies=reply_id):
        usage.exact_tokens(policy, "")  # reads its tokenizer now, for in the transaction others would wait for it
    live = Reply.objects.filter(pk=reply_id, state__in=Reply.LIVE)
    with transaction.atomic():
        return _end(live, Ending(reply_id, State.STOPPED, keep=seq))


def abandon(owner: str) -> None:
    """Interrupts whatever the owner still holds, as when it was told to end between a claim and its confirmation."""
    with transaction.atomic():
        for pk in list(_held(owner).values_list("pk", flat=True)):
            _end(_held(owner).filter(pk=pk), ending_after(pk, TalkerGone()))


def end_abandoned(rows: QuerySet[Reply], reply: Reply) -> bool:
    """Ends a reply that nobody writes or will write (chat.queue.reaping). `rows` says under which condition."""
    return _end(rows, _ending_of_abandoned(reply))


def refuse(policy: Policy, error: ChatError) -> None:
    """Ends the queued replies that only this policy may make, which no engine could load."""
    with transaction.atomic():
        named = Reply.objects.filter(state=State.QUEUED, policy=policy)
        for pk in list(named.values_list("pk", flat=True)):
            _end(named.filter(pk=pk), ending_after(pk, error))


def note_prompt(owner: str, reply_id: int, tokens: int, dropped: int) -> None:
    """Says how long the prompt is, and how many messages, oldest first, the policy does not see for want of room."""
    _held(owner).filter(pk=reply_id).update(prompt_tokens=tokens, trimmed=dropped)


def ending_after(reply_id: int, error: ChatError) -> Ending:
    """Interrupted if another try may help, failed if not."""
    state = State.INTERRUPTED if error.is_retryable else State.FAILED
    return Ending(reply_id, state, error=error.code)


def _ending_of_abandoned(reply: Reply) -> Ending:
    if reply.stop_requested:
        return Ending(reply.pk, State.STOPPED)
    if reply.state == State.QUEUED:
        return Ending(reply.pk, State.FAILED, error=waiting.unserved_error(reply.policy_id).code)
    return Ending(reply.pk, State.INTERRUPTED, error=TalkerGone.code)


def _held(owner: str) -> QuerySet[Reply]:
    return Reply.objects.filter(owner=owner, state=State.STREAMING)


def _end(rows: QuerySet[Reply], ending: Ending) -> bool:
    """The one place where a reply ends. `rows` says under which condition; inside a transaction."""
    values: dict[str, object] = {"state": ending.state, "error": ending.error, "finish_reason": ending.finish_reason}
    for name in ("prompt_tokens", "first_token_at", "blocked_by"):
        if value := getattr(ending, name):
            values[name] = value
    if ending.state == State.STOPPED:
        values["stop_requested"] = True
    if not rows.update(**values, ended_at=timezone.now(), lease_until=None):
        return False
    chunks = Chunk.objects.filter(reply_id=ending.reply)
    if ending.keep is not None:
        chunks.filter(seq__gt=ending.keep).delete()
    texts = list(chunks.order_by("seq").values_list("text", flat=True))
    Message.objects.filter(reply=ending.reply).update(text="".join(texts))
    told = ending.completion_tokens if ending.state == State.COMPLETE else 0
    ended = Reply.objects.select_related("policy", "message__conversation").get(pk=ending.reply)
    tokens = 0 if ended.started_at is None else usage.reply(ended, "".join(texts), told)
    Reply.objects.filter(pk=ending.reply).update(last_seq=len(texts), completion_tokens=tokens)
    wakeup.call(ending.reply)
    return True
