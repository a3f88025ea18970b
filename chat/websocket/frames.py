"""Frames of the websocket protocol: parses those from the page, and builds those to it."""

import json
from typing import Any

from chat.conversations import side_by_side
from chat.errors import OF_A_REPLY, BadFrame, Blocked, ChatError
from chat.models import Message, Pair, Reply
from chat.websocket.tail import ChunkNews, EndNews, News

LARGEST = 2**63 - 1
LONGEST_WAIT_S = 3600.0
"""A longer wait is given as a date in the error's message, not as a number of seconds."""


def read(data: str | None) -> dict[str, Any]:
    """The event in a frame: a JSON object with a string `type`. Raises BadFrame."""
    if data is None:
        raise BadFrame("binary")
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadFrame(str(error)) from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise BadFrame("no object with a type")
    return event


def text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str):
        raise BadFrame(f"{name} is not a string")
    return value


def number(event: dict[str, Any], name: str) -> int | None:
    """A whole number from 0 that a database can store; None where it is absent or null."""
    value = event.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise BadFrame(f"{name} is not a whole number")
    return value


def needed(event: dict[str, Any], name: str) -> int:
    value = number(event, name)
    if value is None:
        raise BadFrame(f"{name} is missing")
    return value


def accepted(message: Message, reply: Reply, pair: Pair | None = None) -> dict[str, Any]:
    """A message was taken and its reply queued. `pair`: set if the reply is the left one of two."""
    return {
        "type": "message.accepted",
        "key": message.key,
        "message": {"id": message.pk, "parent": message.parent_id, "text": message.text},
        "reply": {"id": reply.pk, "message": reply.message_id},
        **({"pair": side_by_side.frame(pair)} if pair else {}),
    }


def regenerated(reply: Reply) -> dict[str, Any]:
    """Another reply to the same message was queued, and the path through it is open."""
    message = reply.message
    return {
        "type": "reply.accepted",
        "key": message.key,
        "reply": {"id": reply.pk, "message": message.pk, "parent": message.parent_id},
    }


def opened(message: int, tip: int) -> dict[str, Any]:
    """Another path is open: the one through the message, down to the tip."""
    return {"type": "path.opened", "message": message, "tip": tip}


def unread(count: int) -> dict[str, Any]:
    """The person's unread notices are so many by now."""
    return {"type": "notices.unread", "count": count}


def error(problem: ChatError, key: object = None) -> dict[str, Any]:
    """In the active language."""
    frame: dict[str, Any] = {"type": "error", "code": problem.code, "message": str(problem.message)}
    if problem.retry_after_s is not None and problem.retry_after_s <= LONGEST_WAIT_S:
        frame["retry_after_s"] = round(problem.retry_after_s, 1)
    if isinstance(problem, Blocked):
        frame["guard"] = problem.guard
    if isinstance(key, str):
        frame["key"] = key[:64]
    return frame


def of(news: News) -> dict[str, Any]:
    """The frame for news from the tail, in the active language."""
    if isinstance(news, ChunkNews):
        return {"type": "reply.chunk", "reply": news.reply, "first": news.first, "seq": news.seq, "text": news.text}
    policy: dict[str, Any] | None = None
    if news.policy:
        name, version, is_simulated = news.policy
        policy = {"name": name, "version": version, **({"simulated": True} if is_simulated else {})}
    frame: dict[str, Any] = {"reply": news.reply, "state": news.state, "policy": policy}
    if isinstance(news, EndNews):
        whole = {"html": news.html, "text": news.text, "seq": news.seq, "finish_reason": news.finish_reason}
        return {"type": "reply.done", **frame, **whole}
    kind = OF_A_REPLY.get(news.error)
    return {
        "type": "reply.state",
        **frame,
        "position": news.wait.place if news.wait else None,
        "seconds": news.wait.seconds if news.wait else None,
        "engine": news.wait.engine if news.wait else None,
        "trimmed": news.trimmed,
        "blocked_by": {"key": news.blocked_by, "name": str(news.blocked_by_name)} if news.blocked_by else None,
        "choice": news.choice._asdict() if news.choice else None,
        "retryable": news.state in (Reply.State.INTERRUPTED, Reply.State.FAILED)
        and (kind is None or kind.is_retryable),
        "error": {"code": news.error, "message": str(kind.message) if kind else ""} if news.error else None,
    }
