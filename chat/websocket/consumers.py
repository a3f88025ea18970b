"""The websocket of a conversation: takes events from the page, and relays the news of replies that the tail reads."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.db import connection
from django.utils import translation

from accounts import notices, sockets
from accounts.models import User
from chat.conversations import temporary
from chat.conversations.turns import open_path, regenerate, take_turn
from chat.errors import ChatError, ConversationGone, Flood, SignedOut, UnknownEvent, UnknownReply
from chat.models import Conversation, Reply
from chat.queue import replies
from chat.websocket import access, frames
from chat.websocket.tail import ChunkNews, EndNews, Follower, News, Tail

P = ParamSpec("P")
R = TypeVar("R")

MAX_FRAME_BYTES = 65_536
FRAMES, FRAMES_WITHIN_S = 40, 10.0
"""More frames within that time are a flood."""
RECHECK_EVERY_S = 60.0
CLOSE_FLOOD, CLOSE_TOO_BIG, CLOSE_SIGNED_OUT = 1008, 1009, 4401
THREADS = 1 if connection.vendor == "sqlite" else 4
"""Turns taken at a time. SQLite has one writer: waiting in line for it is faster than retrying."""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sockets")


async def _with_rows(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs a function that queries the database outside of the one thread that all pages of the site share, where a
    turn would wait for every other query."""
    return await database_sync_to_async(function, thread_sensitive=False, executor=_threads)(*args, **kwargs)


def _page_group_of(conversation_id: UUID) -> str:
    """The channel layer's group that the sockets of all open pages of the conversation are in."""
    return f"conversation.{conversation_id}"


def _page_event(frame: dict[str, Any]) -> dict[str, Any]:
    """The event that has every page in the group send the frame."""
    return {"type": "page.changed", "frame": frame}


def broadcast(conversation_id: UUID, frame: dict[str, Any]) -> None:
    """Sends the frame to every open page of the conversation, from a view; to be called after the commit."""
    layer = get_channel_layer()
    assert layer is not None
    async_to_sync(layer.group_send)(_page_group_of(conversation_id), _page_event(frame))


class _Visit(NamedTuple):
    """Somebody who may use the conversation now."""

    user_id: int
    unread: int
    """Notices."""


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        """Accepts the owner of the conversation; anybody else gets 403 before the socket opens."""
        self.conversation_id: UUID = self.scope["url_route"]["kwargs"]["conversation_id"]
        self.page_group = _page_group_of(self.conversation_id)
        self.language = access.language_of(self.scope)
        self.followers: dict[int, Follower] = {}
        self.arrivals: deque[float] = deque()
        self.news: deque[News] = deque()
        self.has_news = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        visit = await self._enter()
        self.user_id = visit.user_id if visit else None
        if visit is None:
            await self.close()
            return
        self.unread = visit.unread
        await self._join(visit.user_id)
        await self.accept()
        self.tasks = [asyncio.create_task(self._relay()), asyncio.create_task(self._recheck())]

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As in Channels, but without closing old connections in the shared thread: every event would wait there for
        other queries, and sockets have no connection in it."""
        await getattr(self, get_handler_name(message))(message)

    async def disconnect(self, code: int) -> None:
        for follower in self.followers.values():
            Tail.of_running_loop().unfollow(follower)
        for task in self.tasks:
            task.cancel()
        if self.user_id is not None:
            for group in (sockets.group_of(self.user_id), self.page_group):
                await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if len(bytes_data or (text_data or "").encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
            await self.close(CLOSE_TOO_BIG)
            return
        key = None
        try:
            self._count_frame()
            event = frames.read(text_data)
            key = event.get("key")
            handle = self._handlers.get(event["type"])
            if handle is None:
                raise UnknownEvent(event["type"][:40])
            await handle(self, event)
        except ChatError as error:
            await self._send_error(error, key)

    # --- events from the page ---------------------------------------------------------------------------------

    async def _message_send(self, event: dict[str, Any]) -> None:
        text, key = frames.text(event, "text"), frames.text(event, "key")
        parent = frames.number(event, "parent")
        await self._publish(await self._as_writer(_take_turn, self.conversation_id, text, key, parent))

    async def _reply_regenerate(self, event: dict[str, Any]) -> None:
        """`message`: the reply to regenerate, or a person's message. `prefix`: what the new reply begins with."""
        message, key = frames.needed(event, "message"), frames.text(event, "key")
        prefix = frames.text(event, "prefix") if event.get("prefix") is not None else ""
        await self._publish(await self._as_writer(_regenerate, self.conversation_id, message, key, prefix))

    async def _path_open(self, event: dict[str, Any]) -> None:
        await self._publish(await self._as_writer(_open_path, self.conversation_id, frames.needed(event, "message")))

    async def _reply_stop(self, event: dict[str, Any]) -> None:
        await self._as_writer(_stop, self.conversation_id, frames.needed(event, "reply"), frames.number(event, "seq"))

    async def _reply_resume(self, event: dict[str, Any]) -> None:
        reply = frames.needed(event, "reply")
        await _with_rows(_own_reply, self.conversation_id, reply)
        self._follow(reply, frames.number(event, "after_seq") or 0)

    async def _ping(self, event: dict[str, Any]) -> None:
        if self.user_id is not None:
            await self._join(self.user_id)  # a channel layer drops members of a group after a while
        await self._send({"type": "pong"})

    _handlers: dict[str, Callable[["ChatConsumer", dict[str, Any]], Awaitable[None]]] = {
        "message.send": _message_send,
        "reply.regenerate": _reply_regenerate,
        "path.open": _path_open,
        "reply.stop": _reply_stop,
        "reply.resume": _reply_resume,
        "ping": _ping,
    }

    # --- events from elsewhere --------------------------------------------------------------------------------

    async def user_closed(self, event: dict[str, Any]) -> None:
        """This person may have been signed out or suspended: checks it in the database."""
        if await self._enter() is None:
            await self._send_error(SignedOut())

    async def page_changed(self, event: dict[str, Any]) -> None:
        """Another page or a view changed what is open. A page that misses the event sees it on reload."""
        if event.get("by") != self.channel_name:
            await self._show(event["frame"])

    async def _relay(self) -> None:
        """Sends news from the tail to this socket. A slow socket delays no other, and gets fewer, longer frames."""
        while True:
            await self.has_news.wait()
            self.has_news.clear()
            while self.news:
                await self._send(self._next_frame())

    def _take_news(self, news: News) -> None:
        self.news.append(news)
        self.has_news.set()

    def _next_frame(self) -> dict[str, Any]:
        news = self.news.popleft()
        if isinstance(news, ChunkNews):  # has nothing to translate
            while self.news and isinstance(after := self.news[0], ChunkNews) and after.reply == news.reply:
                news = news.joined(after)
                self.news.popleft()
            return frames.of(news)
        if isinstance(news, EndNews):
            self.followers.pop(news.reply, None)
        with translation.override(self.language):
            return frames.of(news)

    # --- helpers ------------------------------------------------------------------------------------------

    async def _publish(self, frame: dict[str, Any]) -> None:
        """Sends the frame to this page first, then to every other one of the conversation."""
        await self._show(frame)
        await self.channel_layer.group_send(self.page_group, {**_page_event(frame), "by": self.channel_name})

    async def _show(self, frame: dict[str, Any]) -> None:
        """Sends a frame, and from now on the news of the replies that it names."""
        await self._send(frame)
        for reply in _replies_in(frame):
            if reply not in self.followers:  # else the same message was sent twice on this socket
                self._follow(reply, 0)

    async def _join(self, user_id: int) -> None:
        for group in (sockets.group_of(user_id), self.page_group):
            await self.channel_layer.group_add(group, self.channel_name)

    def _follow(self, reply: int, after_seq: int) -> None:
        """A second follower of the same reply replaces the first: nothing is sent twice."""
        tail = Tail.of_running_loop()
        if former := self.followers.get(reply):
            tail.unfollow(former)
        self.followers[reply] = tail.follow(reply, after_seq, self._take_news, self.language)

    def _count_frame(self) -> None:
        now = time.monotonic()
        while self.arrivals and self.arrivals[0] < now - FRAMES_WITHIN_S:
            self.arrivals.popleft()
        self.arrivals.append(now)
        if len(self.arrivals) > FRAMES:
            raise Flood

    async def _enter(self) -> _Visit | None:
        """The person, if they may use this conversation now."""
        return await _with_rows(_enter, self.scope, self.conversation_id)

    async def _as_writer(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs a function that changes rows, after checking again that the person is signed in."""
        return await _with_rows(_guarded, self.scope, function, *args)

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_EVERY_S)
            visit = await self._enter()
            if visit is None:
                await self._send_error(SignedOut())
            elif visit.unread != self.unread:
                self.unread = visit.unread
                await self._send(frames.unread(visit.unread))

    async def _send_error(self, error: ChatError, key: object = None) -> None:
        with translation.override(self.language):
            frame = frames.error(error, key)
        await self._send(frame)
        if isinstance(error, Flood):
            await self.close(CLOSE_FLOOD)
        elif isinstance(error, SignedOut):
            await self.close(CLOSE_SIGNED_OUT)

    async def _send(self, frame: dict[str, Any]) -> None:
        await self.send(json.dumps(frame, ensure_ascii=False))


def _enter(scope: Any, conversation_id: UUID) -> _Visit | None:
    user = access.user_of(scope)
    conversation = access.conversation_of(user, conversation_id) if user else None
    if user is None or conversation is None:
        return None
    temporary.keep_open(conversation)
    return _Visit(user.pk, notices.count_unread(user))


def _guarded(scope: Any, function: Callable[..., Any], *args: Any) -> Any:
    user = access.user_of(scope)
    if user is None:
        raise SignedOut
    return function(user, *args)


def _replies_in(frame: dict[str, Any]) -> list[int]:
    if pair := frame.get("pair"):
        return [pair["left"]["id"], pair["right"]["id"]]
    return [frame["reply"]["id"]] if "reply" in frame else []


def _take_turn(user: User, conversation_id: UUID, text: str, key: str, parent: int | None) -> dict[str, Any]:
    message, reply = take_turn(_own(user, conversation_id), text, key, parent)
    return frames.accepted(message, reply, message.pair_or_none)


def _regenerate(user: User, conversation_id: UUID, message: int, key: str, prefix: str) -> dict[str, Any]:
    return frames.regenerated(regenerate(_own(user, conversation_id), message, key, prefix=prefix))


def _open_path(user: User, conversation_id: UUID, message: int) -> dict[str, Any]:
    return frames.opened(message, open_path(_own(user, conversation_id), message))


def _own(user: User, conversation_id: UUID) -> Conversation:
    conversation = access.conversation_of(user, conversation_id)
    if conversation is None:
        raise ConversationGone
    return conversation


def _stop(user: User, conversation_id: UUID, reply: int, seq: int | None) -> None:
    _own(user, conversation_id)
    _own_reply(conversation_id, reply)
    replies.stop(reply, seq)


def _own_reply(conversation_id: UUID, reply: int) -> None:
    if not Reply.objects.filter(pk=reply, message__conversation=conversation_id).exists():
        raise UnknownReply(str(reply))
