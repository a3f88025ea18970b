"""A person at a running site, by HTTP and websocket, without a browser and with a client library that is not ours."""

import contextlib
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

PASSWORD = "chamsae-demo"


class Person:
    """Signed in under a demo account."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=30, headers={"Accept-Language": "en", "Origin": url})
        self.get("/sign-in/")
        answer = self.post("/sign-in/", username=name, password=PASSWORD)
        assert "sessionid" in self.http.cookies, answer.text[:2000]

    def get(self, path: str) -> httpx.Response:
        response = self.http.get(path, follow_redirects=True)
        assert response.status_code == 200, f"{path}: {response.status_code}\n{response.text[:2000]}"
        return response

    def post(self, path: str, **fields: Any) -> httpx.Response:
        token = self.http.cookies["csrftoken"]
        response = self.http.post(path, data={"csrfmiddlewaretoken": token, **fields}, follow_redirects=True)
        assert response.status_code < 400, f"{path}: {response.status_code}\n{response.text[:2000]}"
        return response

    def close(self) -> None:
        self.http.close()

    def new_conversation(self) -> str:
        """Its id."""
        (number,) = re.findall(r"[0-9a-f-]{36}", str(self.post("/conversations/new/").url))
        return str(number)

    @contextlib.asynccontextmanager
    async def chat(self, conversation: str) -> AsyncIterator["Chat"]:
        address, cookies = self.address_of(conversation), {"Cookie": self.cookies()}
        async with connect(address, additional_headers=cookies, origin=self.url) as socket:  # type: ignore[arg-type]
            yield Chat(socket)

    def address_of(self, conversation: str) -> str:
        """Of its websocket."""
        return re.sub("^http", "ws", self.url) + f"/ws/chat/{conversation}/"

    def cookies(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())


@dataclass
class Heard:
    """A reply as it reached the person."""

    reply: int = 0
    state: str = ""
    policy: str = ""
    text: str = ""
    sent_at: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    """When each piece of text came, on the clock of perf_counter."""

    @property
    def first_s(self) -> float:
        return self.arrivals[0] - self.sent_at


class Chat:
    """One socket of a conversation."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **event: Any) -> None:
        await self.socket.send(json.dumps(event))

    async def receive(self) -> dict[str, Any]:
        return dict(json.loads(await self.socket.recv()))

    async def ask(self, text: str, parent: int | None = None) -> Heard:
        """Sends a message and listens until its reply has ended."""
        heard = Heard(sent_at=time.perf_counter())
        await self.send(type="message.send", text=text, key=uuid.uuid4().hex, parent=parent)
        while heard.state not in ("complete", "stopped", "interrupted", "failed"):
            take(heard, await self.receive())
        return heard


def take(heard: Heard, event: dict[str, Any]) -> None:
    if event["type"] == "error":
        raise AssertionError(event)
    if event["type"] == "message.accepted":
        heard.reply = event["reply"]["id"]
    elif event.get("reply") == heard.reply and heard.reply:
        if event["type"] == "reply.chunk":
            heard.text += event["text"]
            heard.arrivals.append(time.perf_counter())
        elif event["type"] in ("reply.state", "reply.done"):
            heard.state = event["state"]
            heard.policy = name_of(event.get("policy")) or heard.policy


def name_of(policy: Any) -> str:
    return str(policy.get("name", "")) if isinstance(policy, dict) else str(policy or "")
