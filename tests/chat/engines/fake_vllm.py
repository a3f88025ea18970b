"""A server that behaves as vLLM 0.32 does towards its clients, in a process of its own.

Routes, stamps, statuses and words are those of a real one (--enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING). The text
of a completion is made from the adapter's weights, so that another adapter under the same name would show. Given a
tiny base, it samples completions of token ids from that (fake_vllm_model).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[3]
BASE = "base"


@dataclass
class Behaviour:
    base: str = BASE
    takes_adapters: bool = True
    max_lora_rank: int = 16
    tokens: int = 12
    seconds_a_token: float = 0.002
    stamp: str = ""
    """The model that it says it used; empty: the one that it was asked for."""
    held_after: int = 0
    """Streams pause after so many tokens until `release`; 0: they do not."""
    weights: str = ""
    """Folder of a base that it samples from; empty: it has none."""
    logprob_shift: float = 0.0
    """Added to the log-probs that it tells."""
    is_untempered: bool = False
    """It tells log-probs from before the temperature, as without --logprobs-mode processed_logprobs."""
    key: str = ""
    """Without it as a bearer token nothing but /health is answered."""
    dies_at: int = 0
    """It kills itself at this request for a completion; 0: never."""
    hangs_at: int = 0
    """It stops at this request for a completion, with open connections; 0: never."""
    failing_loads: int = 0
    """So many requests to load an adapter fail before one does not."""
    forgets_at: int = 0
    """At this request for a completion it has no adapters any more, as one that was started again; 0: never."""
    health: int = 200
    """Status of /health: vLLM answers 503 there once its engine is dead, and goes on listing its models."""


@dataclass
class FakeVllm:
    """The handle of a test on a running server."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def start(self, **changes: Any) -> "FakeVllm":
        """On the port that it had before, if it had one; without adapters, as any vLLM that was just started."""
        for name, value in changes.items():
            setattr(self.behaviour, name, value)
        self.port = self.port or _free_port()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-m", "tests.chat.engines.fake_vllm", str(self.port)]
        self.process = subprocess.Popen([*words, json.dumps(asdict(self.behaviour))], env=environment, cwd=ROOT)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.root}/health", trust_env=False).status_code:
                    return self
            assert self.process.poll() is None, "it ended"
            time.sleep(0.05)
        raise AssertionError("it did not start")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def release(self) -> None:
        """Held streams go on, and later ones are not held."""
        httpx.post(f"{self.root}/release", trust_env=False).raise_for_status()

    def behave(self, **changes: Any) -> None:
        """From now on."""
        httpx.post(f"{self.root}/behave", json=changes, trust_env=False).raise_for_status()

    def clear(self) -> None:
        """Takes all adapters off."""
        for name in self.names()[1:]:
            body = {"lora_name": name}
            httpx.post(f"{self.url}/unload_lora_adapter", json=body, trust_env=False).raise_for_status()

    def told(self) -> list[list[Any]]:
        """What was asked of it, in order: the path without `/v1/`, and the name of the model or adapter."""
        return list(httpx.get(f"{self.root}/told", trust_env=False).json())

    def names(self) -> list[str]:
        rows = httpx.get(f"{self.url}/models", trust_env=False).json()["data"]
        return [row["id"] for row in rows]


@contextlib.contextmanager
def serving(count: int = 1, **behaviour: Any) -> Iterator[list[FakeVllm]]:
    servers = [FakeVllm(Behaviour(**behaviour)) for _ in range(count)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            if server.process is not None:
                server.kill()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


# --- the server --------------------------------------------------------------------------------------------------


def words_of(weights: bytes) -> list[str]:
    """What a model says whose adapter has these weights; of a base none."""
    digest = hashlib.sha256(weights).hexdigest()
    return [f"{digest[place : place + 4]} " for place in range(0, 60, 4)]


@dataclass
class Application:
    behaviour: Behaviour
    adapters: dict[str, Path] = field(default_factory=dict)
    told: list[list[Any]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    completions: int = 0
    """How many were asked for."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(receive, send)
        route = (scope["method"], scope["path"])
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        if not scope["path"].startswith("/v1/"):
            await self._control(request, route)
        elif self.behaviour.key and given != f"Bearer {self.behaviour.key}":
            await request.answer(401, {"error": "Unauthorized"})
        elif route == ("GET", "/v1/models"):
            await request.answer(200, {"object": "list", "data": self._cards()})
        elif route == ("POST", "/v1/load_lora_adapter") and self.behaviour.takes_adapters:
            await self._load(request, await request.body())
        elif route == ("POST", "/v1/unload_lora_adapter") and self.behaviour.takes_adapters:
            await self._unload(request, await request.body())
        elif route in (("POST", "/v1/chat/completions"), ("POST", "/v1/completions")):
            await self._complete(request, await request.body(), is_chat="chat" in scope["path"])
        else:
            await request.answer(404, {"detail": "Not Found"})

    async def _control(self, request: "Request", route: tuple[str, str]) -> None:
        """What tests ask of it, beside /health."""
        if route == ("GET", "/health"):
            await request.answer(self.behaviour.health, "")
        elif route == ("GET", "/told"):
            await request.answer(200, self.told)
        elif route == ("POST", "/release"):
            self.released.set()
            await request.answer(200, "")
        elif route == ("POST", "/behave"):
            for name, value in (await request.body()).items():
                setattr(self.behaviour, name, value)
            await request.answer(200, "")
        else:
            await request.answer(404, {"detail": "Not Found"})

    def _cards(self) -> list[dict[str, Any]]:
        base = {"id": self.behaviour.base, "object": "model", "root": "/weights", "parent": None}
        return [base] + [
            {"id": name, "object": "model", "root": str(path), "parent": self.behaviour.base}
            for name, path in self.adapters.items()
        ]

    async def _load(self, request: "Request", body: dict[str, Any]) -> None:
        name, path = body["lora_name"], Path(body["lora_path"])
        self.told.append(["load_lora_adapter", name])
        if self.behaviour.failing_loads:
            self.behaviour.failing_loads -= 1
            await request.error(500, "InternalServerError", "Call to add_lora method failed: out of memory")
        elif name == self.behaviour.base:
            words = f"The lora adapter '{name}' conflicts with a served base model."
            await request.error(400, "InvalidUserInput", words)
        elif name in self.adapters and not body.get("load_inplace"):
            words = f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
            await request.error(400, "InvalidUserInput", words + "set 'load_inplace' to True.")
        elif not (path / "adapter_config.json").is_file():
            await request.error(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for <path>")
        elif (rank := json.loads((path / "adapter_config.json").read_text())["r"]) > self.behaviour.max_lora_rank:
            words = f"LoRA rank {rank} is greater than max_lora_rank {self.behaviour.max_lora_rank}."
            words = (
                f"Call to add_lora method failed: Worker failed with error '{words}', please check the stack trace"
            )
            await request.error(500, "InternalServerError", f"{words} above for the root cause")
        else:
            self.adapters[name] = path
            await request.answer(200, f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: "Request", body: dict[str, Any]) -> None:
        name = body["lora_name"]
        self.told.append(["unload_lora_adapter", name])
        if self.adapters.pop(name, None) is None:
            await request.error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        else:
            await request.answer(200, f"Success: LoRA adapter '{name}' removed successfully.")

    async def _complete(self, request: "Request", body: dict[str, Any], *, is_chat: bool) -> None:
        name = body["model"]
        self.told.append(["chat/completions" if is_chat else "completions", name])
        self.completions += 1
        if self.completions == self.behaviour.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.completions == self.behaviour.hangs_at:
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.completions == self.behaviour.forgets_at:
            self.adapters.clear()
        if name != self.behaviour.base and name not in self.adapters:
            words = f"The model `{name}` does not exist. Valid aliases: {self.behaviour.base}."
            await request.error(404, "NotFoundError", words)
            return
        if self.behaviour.weights and not body.get("stream"):
            await self._sample(request, body)
            return
        weights = self.adapters[name] / "adapter_model.safetensors" if name in self.adapters else None
        words_ = words_of(weights.read_bytes() if weights else b"")
        await request.begin(200, "text/event-stream; charset=utf-8")
        count = min(self.behaviour.tokens, int(body.get("max_tokens") or 16))
        for place in range(count):
            await asyncio.sleep(self.behaviour.seconds_a_token)
            if self.behaviour.held_after and place >= self.behaviour.held_after:
                await self.released.wait()
            is_last = place == count - 1
            text, finish = words_[place % len(words_)], "stop" if is_last else None
            told = {"delta": {"content": text}} if is_chat else {"text": text}
            await self._event(request, name, [{"index": 0, **told, "logprobs": None, "finish_reason": finish}])
        usage = {"prompt_tokens": 9, "total_tokens": 9 + count, "completion_tokens": count}
        await self._event(request, name, [], usage=usage)
        await request.send(b"data: [DONE]\n\n", more=False)

    async def _sample(self, request: "Request", body: dict[str, Any]) -> None:
        from tests.chat.engines import fake_vllm_model  # torch takes seconds to import

        behaviour, name = self.behaviour, body["model"]
        choices = fake_vllm_model.choices(
            Path(behaviour.weights),
            self.adapters.get(name),
            body,
            shift=behaviour.logprob_shift,
            is_tempered=not behaviour.is_untempered,
        )
        told = {"id": "cmpl-1", "object": "text_completion", "model": behaviour.stamp or name}
        await request.answer(200, {**told, "choices": choices})

    async def _event(self, request: "Request", name: str, choices: list[Any], **more: Any) -> None:
        event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self.behaviour.stamp or name}
        await request.send(b"data: " + json.dumps({**event, "choices": choices, **more}).encode() + b"\n\n")


@dataclass
class Request:
    receive: Any
    put: Any

    async def body(self) -> dict[str, Any]:
        parts = b""
        while True:
            message = await self.receive()
            parts += message.get("body", b"")
            if not message.get("more_body"):
                return dict(json.loads(parts))

    async def begin(self, status: int, kind: str) -> None:
        await self.put(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]}
        )

    async def send(self, body: bytes, *, more: bool = True) -> None:
        await self.put({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, status: int, content: Any) -> None:
        await self.begin(status, "application/json")
        await self.send(content.encode() if isinstance(content, str) else json.dumps(content).encode(), more=False)

    async def error(self, status: int, kind: str, message: str) -> None:
        await self.answer(status, {"error": {"message": message, "type": kind, "param": None, "code": status}})


if __name__ == "__main__":
    import uvicorn

    behaviour = Behaviour(**json.loads(sys.argv[2]))
    uvicorn.run(Application(behaviour), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", lifespan="off")
