"""Refuses the body of a request by its size before it is read, on every route, whatever web server runs the site.

Django reads a whole body before it calls a view. So this stands before Django: a route that takes files takes as many
bytes as its setting says, from people who are signed in or have a key; every other body is a form or JSON.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.urls import Resolver404, resolve
from django.utils import timezone

from accounts import keys
from api.middleware import new_request_id
from chat.conversations import importing

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]

AROUND_A_FILE = 64 * 1024
"""Of a form: the other fields, and what stands between them."""
TOO_LARGE = (
    "The request is larger than {size} and was not read. Send a smaller file, and sign in first.\n"
    "요청이 {size}보다 커서 읽지 않았습니다. 로그인한 뒤 더 작은 파일을 보내 주세요.\n"
)


def limit_of(path: str) -> int:
    """Bytes that the body of a request to this path may have, from somebody who is known."""
    try:
        name = resolve(path).view_name
    except Resolver404:
        return _smallest()
    return max(_smallest(), _limits().get(name, 0))


def _smallest() -> int:
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0) + AROUND_A_FILE


def _limits() -> dict[str, int]:
    """By the routes that take files."""
    upload, judgements = settings.UPLOAD_MB << 20, settings.FEEDBACK_IMPORT_MB << 20
    found = {"conversation_import": importing.MAX_BYTES, "data_files": upload, "v1:files": upload}
    found |= {"imports": judgements}
    found |= dict.fromkeys(("new_project", "add_prompts", "add_people"), settings.FEEDBACK_PROJECT_BYTES)
    return {name: size + AROUND_A_FILE for name, size in found.items()}


class BodyLimits:
    """An ASGI application around another one."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        declared = _declared(headers)
        limit = _smallest()
        if declared is None or declared > limit:
            most = limit_of(scope["path"])
            if most > limit and await sync_to_async(_is_known)(headers):
                limit = most
        if declared is not None and declared > limit:
            await _refuse(scope["path"], limit, send)
            return
        await _Counted(limit, receive, send).answer(self.app, scope)


class _Counted:
    """One request whose body is counted while it is read: it may declare no length."""

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self.left, self.limit = limit, limit
        self._receive, self._send = receive, send
        self.is_too_large = self.has_begun = False

    async def answer(self, app: App, scope: Mapping[str, Any]) -> None:
        await app(scope, self.receive, self.send)
        if self.is_too_large and not self.has_begun:
            await _refuse(scope["path"], self.limit, self._send)

    async def receive(self) -> Message:
        """To the application a body that is too large is one that broke off."""
        if self.is_too_large:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self.left -= len(message.get("body", b""))
        self.is_too_large = self.left < 0
        return {"type": "http.disconnect"} if self.is_too_large else message

    async def send(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


def _declared(headers: Mapping[bytes, bytes]) -> int | None:
    """None: a body in chunks; without one of these headers there is no body."""
    if b"content-length" in headers:
        return int(headers[b"content-length"]) if headers[b"content-length"].isdigit() else 0
    return None if b"transfer-encoding" in headers else 0


def _is_known(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the request bears a session or a key; whose, and what they may do, is for the application to say."""
    kind, _space, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        session = cookies.get(settings.SESSION_COOKIE_NAME)
        if kind.lower() == "bearer":
            return keys.find(secret.strip()) is not None
        stored = Session.objects.filter(expire_date__gt=timezone.now())
        return session is not None and stored.filter(session_key=session.value).exists()
    except (CookieError, DatabaseError):
        return False


async def _refuse(path: str, limit: int, send: Send) -> None:
    size = f"{limit / 2**20:.1f} MB"
    if path.startswith("/v1/"):
        error = {"message": f"The body is larger than {size}.", "type": "invalid_request_error", "code": None}
        body, kind = json.dumps({"error": {**error, "param": None}}).encode(), b"application/json"
        told = [(b"x-request-id", new_request_id().encode())]
    else:
        body, kind, told = TOO_LARGE.format(size=size).encode(), b"text/plain; charset=utf-8", []
    length = str(len(body)).encode()
    headers = [(b"content-type", kind), (b"content-length", length), (b"connection", b"close"), *told]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
