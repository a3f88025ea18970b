"""The page's end of a conversation's websocket, for tests."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore


def cookie_of(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


class Socket:
    """The page's end of a websocket, through the whole ASGI application."""

    def __init__(self, path, cookie, origin=None, language="en"):
        from config.asgi import application

        headers = [
            (b"cookie", cookie.encode()),
            (b"origin", (origin or settings.ORIGINS[0]).encode()),
            (b"accept-language", language.encode()),
        ]
        self.communicator = WebsocketCommunicator(application, path, headers)

    async def say(self, **event):
        await self.communicator.send_to(text_data=json.dumps(event))

    async def hear(self, timeout=5):
        return json.loads(await self.communicator.receive_from(timeout))

    async def hear_until(self, kind, timeout=10):
        """Every frame up to the first of that type."""
        heard = []
        async with asyncio.timeout(timeout):
            while not heard or heard[-1]["type"] != kind:
                heard.append(await self.hear(timeout))
        return heard

    async def close_code(self, timeout=5):
        async with asyncio.timeout(timeout):
            while True:
                output = await self.communicator.receive_output(timeout)
                if output["type"] == "websocket.close":
                    return output["code"]


@asynccontextmanager
async def opened(conversation, user, **options):
    cookie = await sync_to_async(cookie_of)(user)
    socket = Socket(f"/ws/chat/{conversation.pk}/", cookie, **options)
    connected, _ = await socket.communicator.connect()
    assert connected
    try:
        yield socket
    finally:
        with suppress(asyncio.CancelledError):
            await socket.communicator.disconnect()


def text_of(frames):
    return "".join(frame["text"] for frame in frames if frame["type"] == "reply.chunk")
