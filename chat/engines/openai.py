"""The engine for OpenAI-compatible servers elsewhere, given by their URLs: vLLM, SGLang, a hosted one.

They are started and watched by others. Several hold the same base policy; each policy that is an adapter of it is put
on all of them (chat.engines.servers), and a completion goes to the one that has most room.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.conf import settings

from chat.engines.engine import Engine, Parameters, Piece
from chat.engines.servers.adapters import ServedAdapter, adapter_of
from chat.engines.servers.pool import FRESH_S, ServerPool
from chat.engines.servers.server import WATCH_EVERY_S, RemoteServer
from chat.errors import EngineBusy, EngineDown, EngineRefused, ModelMissing
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.rendering import ROLES, Turn

CONTROL = re.compile(r"<(?=\|[^|<>\s]{1,60}\|>|/?s>|(?:start|end)_of_turn>|/?(?:bos|eos|pad)>)|\[(?=/?INST\])")
"""The first character of control tokens of well-known templates (ChatML, Llama, Gemma, Mistral)."""


def neutral(turn: Turn) -> Turn:
    """The message with control tokens of well-known templates broken up by a space.

    The server should encode user text as text; this is a second protection. Roles are checked, since a template may
    build a control token from one.
    """
    if turn["role"] not in ROLES:
        raise EngineRefused(f"role {turn['role']!r}")
    return Turn(role=turn["role"], content=CONTROL.sub(r"\g<0> ", turn["content"]))


def _prompt_fields(prompt: PolicyPrompt) -> dict[str, Any]:
    """The prompt as messages or as a raw text; no ids, since the server may have another tokenizer."""
    if prompt.text is None:
        said = {"messages": [neutral(turn) for turn in prompt.messages]}
        told = {} if prompt.thinking is None else {"chat_template_kwargs": {"enable_thinking": prompt.thinking}}
        return said | told  # as vLLM and SGLang have it
    return {"prompt": CONTROL.sub(r"\g<0> ", prompt.text)}


class OpenAIEngine(Engine):
    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.model = settings.CHAT_ENGINE_MODEL or policy.name
        self._is_named = bool(settings.CHAT_ENGINE_MODEL)
        """By an admin: some servers take models that they do not list, and answer with the name of a version."""
        self._adapter: ServedAdapter | None = None
        self._joined: ServerPool | None = None

    async def start(self, key: str) -> None:
        """Ready as soon as one server has the policy; the others get it meanwhile."""
        if not settings.CHAT_ENGINE_URLS:
            raise EngineDown("CHAMSAE_ENGINE_URL is not set")
        if self._is_named and not self.policy.is_live:
            # Its replies would have the name of a policy that did not generate them.
            raise EngineRefused(f"the server has one model, the live policy, not {self.policy.name}")
        await self._pool.look()
        await self._load()
        if not self._ready():
            raise self._absence()
        self.url = " ".join(server.url for server in self._ready())

    async def _load(self) -> None:
        """Puts the policy on every server that lacks it, and waits for the first."""
        if self._adapter is None and not self._is_named:
            self._adapter = await adapter_of(self.policy)
        loading = self._pool.loading(self._adapter) if self._adapter is not None else []
        while loading and not self._ready():
            _, rest = await asyncio.wait(loading, return_when=asyncio.FIRST_COMPLETED)
            loading = list(rest)

    @property
    def _pool(self) -> ServerPool:
        if self._joined is None:
            self._joined = ServerPool.join(self)
        return self._joined

    def _ready(self) -> list[RemoteServer]:
        return self._pool.up() if self._is_named else self._pool.holding(self.model)

    def _absence(self) -> EngineDown | EngineRefused:
        """Why no server is ready."""
        up, servers = self._pool.up(), self._pool.servers
        if not up:
            return EngineDown("; ".join(f"{server.url}: {server.trouble}" for server in servers))
        return EngineRefused("; ".join(self._why_not(server) for server in up))

    def _why_not(self, server: RemoteServer) -> str:
        if reason := server.refusals.get(self.model):
            return f"{server.url} has no {self.model!r}: {reason}"
        return f"{server.url} has no model {self.model!r}, only {', '.join(sorted(server.listed)) or 'nothing'}"

    def slots(self) -> int:
        """Each server that has the policy counts."""
        return super().slots() * max(1, len(self._ready()))

    async def stream(self, prompt: PolicyPrompt, parameters: Parameters) -> AsyncGenerator[Piece, None]:
        """A completion whose server fails before its first piece moves to another; later it ends there."""
        path = "chat/completions" if prompt.text is None else "completions"
        body = self._request(prompt, parameters)
        failed: list[RemoteServer] = []
        restarted: list[RemoteServer] = []
        while True:
            server = await self._server(failed)
            has_begun = False
            try:
                async with aclosing(server.stream(path, body, "" if self._is_named else self.model)) as pieces:
                    async for piece in pieces:
                        has_begun = True
                        yield piece
                return
            except ModelMissing:  # the server was restarted since somebody looked, and gets the policy again
                if self._is_named or server in restarted:
                    raise
                restarted.append(server)
            except (EngineDown, EngineBusy):
                failed.append(server)
                if has_begun or self._pool.emptiest(self._ready(), failed) is None:
                    raise

    async def _server(self, failed: list[RemoteServer]) -> RemoteServer:
        """The emptiest that has the policy; where none has it, it is put there. Raises EngineDown, EngineRefused."""
        await self._pool.look(FRESH_S)
        if not self._ready():
            await self._pool.look()
            await self._load()
        server = self._pool.emptiest(self._ready(), failed)
        if server is None:
            raise EngineDown("every server that has it failed") if self._ready() else self._absence()
        return server

    def _request(self, prompt: PolicyPrompt, parameters: Parameters) -> dict[str, Any]:
        """Sets only what differs from the protocol's defaults, since some servers refuse unknown fields."""
        body: dict[str, Any] = {
            "model": self.model,
            **_prompt_fields(prompt),
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "max_tokens": parameters.max_completion_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if parameters.seed is not None:
            body["seed"] = parameters.seed
        if parameters.stop:
            body["stop"] = list(parameters.stop)
        for name in ("top_k", "presence_penalty", "frequency_penalty"):
            if value := getattr(parameters, name):
                body[name] = value
        if parameters.top_logprobs is not None and prompt.text is None:
            body |= {"logprobs": True, "top_logprobs": parameters.top_logprobs}
        elif parameters.top_logprobs is not None:
            body["logprobs"] = parameters.top_logprobs
        if prompt.prefix:  # as vLLM and SGLang have it
            body["messages"].append(neutral(Turn(role="assistant", content=prompt.prefix)))
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    async def is_healthy(self) -> bool:
        """Whether a server has the policy; one that came back without it gets it."""
        await self._pool.look(WATCH_EVERY_S / 2)
        if self._adapter is not None:
            self._pool.loading(self._adapter)
        return bool(self._ready())

    async def stop(self) -> None:
        if self._joined is not None:
            await self._joined.leave(self)
