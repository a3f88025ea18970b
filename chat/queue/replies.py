"""The states of a reply: every transition is a conditional UPDATE, so that only one of several writers can win.

    queued -> streaming -> complete | stopped | blocked | interrupted | failed
    queued -> stopped | failed | interrupted

Ending a reply stores its message's text, the concatenation of its chunks, in the same transaction.
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
    WITH leased AS MATERIALIZED (
        SELECT id FROM chat_reply WHERE id = ANY(%s) AND owner = %s AND state = '{State.STREAMING}'
        ORDER BY id FOR UPDATE
    ), stored AS (
        INSERT INTO chat_chunk (reply_id, seq, text)
        SELECT reply, seq, text FROM json_to_recordset(%s) AS chunk (reply bigint, seq int, text text)
        JOIN leased ON leased.id = reply ORDER BY reply, seq
        ON CONFLICT DO NOTHING
    ), woken AS (SELECT pg_notify('{wakeup.CHANNEL}', ''))
    SELECT id FROM leased WHERE EXISTS (SELECT FROM woken)
"""  # noqa: S608


@dataclass(frozen=True)
class NewChunk:
    """A chunk to be stored."""

    reply: int
    seq: int
    text: str


@dataclass(frozen=True)
class Ending:
    """How a reply ends, with the counts that are known by then."""

    reply: int
    state: Reply.State
    error: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """As its engine counted them, if it completed."""
    first_token_at: datetime | None = None
    blocked_by: str = ""
    keep: int | None = None
    """Number of chunks to keep if the reply is cut; None: all."""


def queue(
    parent: Message,
    parameters: dict[str, object],
    *,
    preamble: Sequence[Turn] = (),
    instructions: str = "",
    key: str = "",
    prefix: str = "",
    policy: Policy | None = None,
) -> Reply:
    """A queued reply with its still empty message, as an answer to `parent`; inside a transaction.

    `preamble`: an assistant's instructions and examples, before the conversation; `instructions`: the person's own.
    `prefix` is what the reply begins with: its first chunk from the start. `policy`: the only one that may write it;
    None: whichever is live when it starts.
    """
    message = Message.objects.create(
        conversation_id=parent.conversation_id, parent=parent, role=Message.Role.ASSISTANT, key=key
    )
    reply = Reply.objects.create(
        message=message,
        parameters=parameters,
        preamble=list(preamble),
        instructions=instructions,
        prefix=prefix,
        policy=policy,
    )
    if prefix:
        Chunk.objects.create(reply=reply, seq=1, text=prefix)
    return reply


def start(owner: str, policy: Policy, reply: int) -> bool:
    """Starts a queued reply on the policy, which it keeps to its end. False if another talker was quicker."""
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
    """The rows with what the talker needs to write them."""
    return list(Reply.objects.filter(pk__in=ids).select_related("message__conversation").order_by("pk"))


def renew(owner: str) -> None:
    """Renews the leases of all replies that the owner is writing."""
    _leased_by(owner).update(lease_until=timezone.now() + settings.REPLY_LEASE)


def lost_or_stopped(owner: str, ids: Collection[int]) -> set[int]:
    """Those of the replies that the owner need not write any more. Ends those whose stop was requested."""
    leased = dict(_leased_by(owner).values_list("pk", "stop_requested"))
    to_stop = {pk for pk, is_stop_requested in leased.items() if is_stop_requested}
    for pk in to_stop:
        stop(pk)
    return set(ids) - (leased.keys() - to_stop)


def write(owner: str, chunks: Sequence[NewChunk]) -> set[int]:
    """Stores chunks of the replies that the owner has the lease of; returns the ids of the others.

    Idempotent, as needed after an error that leaves open whether the chunks were stored. Raw SQL, one statement for
    each kind of database: thousands of chunks a second come through here, and the ORM takes three times as long.
    """
    ids = {chunk.reply for chunk in chunks}
    if not ids:
        return set()
    # The lock makes a stop wait, and a stop that came first makes this see it.
    if connection.vendor == "postgresql":
        return ids - _store_all(owner, sorted(ids), chunks)
    with transaction.atomic():
        leased = set(_leased_by(owner).filter(pk__in=ids).select_for_update().values_list("pk", flat=True))
        rows = [(chunk.reply, chunk.seq, chunk.text) for chunk in chunks if chunk.reply in leased]
        with connection.cursor() as cursor:
            cursor.executemany(STORE_ROW, rows)
    return ids - leased


def _store_all(owner: str, ids: list[int], chunks: Sequence[NewChunk]) -> set[int]:
    """Locks the replies, stores chunks and wakes readers in one round trip; returns the ids that the owner leases."""
    rows = json.dumps([vars(chunk) for chunk in chunks], ensure_ascii=False)
    with connection.cursor() as cursor:
        cursor.execute(STORE_ALL, [ids, owner, rows])
        return {pk for (pk,) in cursor.fetchall()}


def end(owner: str, ending: Ending) -> None:
    """Ends a reply if the owner still has its lease. Idempotent."""
    with transaction.atomic():
        _end(_leased_by(owner).filter(pk=ending.reply), ending)


def stop(reply_id: int, seq: int | None = None) -> bool:
    """Ends a live reply on its reader's request, with the text up to chunk `seq` (None: all of it).

    False if it had ended already. The talker notices it and closes the engine's stream.
    """
    for policy in Policy.objects.filter(replies=reply_id):
        usage.exact_tokens(policy, "")  # loads its tokenizer now, since others would wait for that in the transaction
    live = Reply.objects.filter(pk=reply_id, state__in=Reply.LIVE)
    with transaction.atomic():
        return _end(live, Ending(reply_id, State.STOPPED, keep=seq))


def abandon(owner: str) -> None:
    """Interrupts every reply that the owner still leases, as one that it claimed while it was being stopped."""
    with transaction.atomic():
        for pk in list(_leased_by(owner).values_list("pk", flat=True)):
            _end(_leased_by(owner).filter(pk=pk), ending_after(pk, TalkerGone()))


def end_abandoned(rows: QuerySet[Reply], reply: Reply) -> bool:
    """Ends a reply that nobody writes or will write (chat.queue.reaping). `rows`: the condition for it."""
    return _end(rows, _ending_of_abandoned(reply))


def refuse(policy: Policy, error: ChatError) -> None:
    """Fails the queued replies that name this policy, which no engine could load."""
    with transaction.atomic():
        named = Reply.objects.filter(state=State.QUEUED, policy=policy)
        for pk in list(named.values_list("pk", flat=True)):
            _end(named.filter(pk=pk), ending_after(pk, error))


def note_prompt(owner: str, reply_id: int, tokens: int, dropped: int) -> None:
    """Records the prompt's length, and how many of the oldest messages were left out of it."""
    _leased_by(owner).filter(pk=reply_id).update(prompt_tokens=tokens, trimmed=dropped)


def ending_after(reply_id: int, error: ChatError) -> Ending:
    """Interrupted if a retry may help, failed if not."""
    state = State.INTERRUPTED if error.is_retryable else State.FAILED
    return Ending(reply_id, state, error=error.code)


def _ending_of_abandoned(reply: Reply) -> Ending:
    if reply.stop_requested:
        return Ending(reply.pk, State.STOPPED)
    if reply.state == State.QUEUED:
        return Ending(reply.pk, State.FAILED, error=waiting.unserved_error(reply.policy_id).code)
    return Ending(reply.pk, State.INTERRUPTED, error=TalkerGone.code)


def _leased_by(owner: str) -> QuerySet[Reply]:
    return Reply.objects.filter(owner=owner, state=State.STREAMING)


def _end(rows: QuerySet[Reply], ending: Ending) -> bool:
    """The one place where a reply ends. `rows`: the condition for it; inside a transaction."""
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
    counted = ending.completion_tokens if ending.state == State.COMPLETE else 0
    ended = Reply.objects.select_related("policy", "message__conversation").get(pk=ending.reply)
    tokens = 0 if ended.started_at is None else usage.record_reply(ended, "".join(texts), counted)
    Reply.objects.filter(pk=ending.reply).update(last_seq=len(texts), completion_tokens=tokens)
    wakeup.call(ending.reply)
    return True
