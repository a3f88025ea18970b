"""The servers that sample for a run: which of them answer, the adapter of the moment on them, and prompts completed.

They come and go. What a server fails at goes to the next one that answers; while none does it is tried again, more
and more seldom, until the patience is over. Of a run's adapters a server keeps only that of the moment.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from base.model_server import ServerAway, ServerClient, ServerFailed, ServerRefused
from rlhf.training.hyperparameters import build, require
from rlhf.training.rollouts.completions import BadCompletion, PromptRequest, ServerCompletion

ANSWER_S = 600.0
"""A rollout's completions come all at once, on a slow machine after minutes."""
WATCH_EVERY_S, SILENT_S = 5.0, 30.0
"""A server that is asked for completions is looked at so often, and given up once it has answered no look so long."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
log = logging.getLogger(__name__)


@dataclass
class RolloutServersAway(Exception):
    """No server answered for as long as was waited for them; the run can be resumed from its checkpoint."""

    seconds: float
    troubles: Mapping[str, str]

    def __str__(self) -> str:
        told = "; ".join(f"{url}: {trouble}" for url, trouble in self.troubles.items())
        return f"no server sampled anything for {self.seconds:.0f} s ({told}). Start them, then resume this run"


@dataclass
class RolloutRefused(Exception):
    """A server answers, but cannot sample for this run until somebody changes something."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"{self.url} does not sample for this run: {self.reason}"


@dataclass(frozen=True)
class ServersConfig:
    """The key "rollouts" of a run's config.json."""

    urls: list[str]
    """Each up to `/v1`."""
    base: str
    """The name under which they list the base of the run."""
    prefix: str
    """Of the names of this run's adapters, and of no other's."""
    folder: str
    """Where adapters are written."""
    seen_at: str
    """Where the servers see that folder."""
    patience_s: float = 600.0

    def validate(self) -> None:
        """Raise BadHyperparameter."""
        require(bool(self.urls), "urls", self.urls, "names no server")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "ServersConfig":
        """Raises BadHyperparameter."""
        return build(cls, values)


class RolloutServers:
    """Asked by one task at a time."""

    def __init__(self, config: ServersConfig, key: str) -> None:
        self.config, self._key = config, key

    async def complete(
        self, adapter: str, path: str, requests: Sequence[PromptRequest]
    ) -> list[list[ServerCompletion]]:
        """By the adapter of that name, which they find at `path`. Raises RolloutServersAway, RolloutRefused."""
        found: dict[int, list[ServerCompletion]] = {}
        pause_s, away_since = FIRST_PAUSE_S, None
        async with self._clients() as clients:
            while True:
                round_ = _Round(clients, adapter, path, self.config)
                made = await round_.run({i: one for i, one in enumerate(requests) if i not in found})
                found |= made
                if len(found) == len(requests):
                    return [found[index] for index in range(len(requests))]
                now = time.monotonic()  # of the end of the round: it may have been as long as the patience
                if made or away_since is None:
                    pause_s, away_since = FIRST_PAUSE_S, now
                if now - away_since >= self.config.patience_s:
                    raise RolloutServersAway(now - away_since, round_.troubles)
                log.warning("%d of %d prompts wait for %s", len(requests) - len(found), len(requests), round_.told())
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def take_off(self) -> None:
        """This run's adapters from all servers that answer."""
        async with self._clients() as clients:
            await asyncio.gather(*(client.unload_adapters(self.config.prefix) for client in clients))

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[list[ServerClient]]:
        async with AsyncExitStack() as stack:
            clients = [ServerClient(url, self._key) for url in self.config.urls]
            for client in clients:
                stack.push_async_callback(client.close)
            yield clients


class _Round:
    """One attempt at all prompts that are left, dealt out among the servers that answer."""

    def __init__(self, clients: Sequence[ServerClient], adapter: str, path: str, config: ServersConfig) -> None:
        self.clients, self.adapter, self.path, self.config = clients, adapter, path, config
        self.troubles: dict[str, str] = {}
        """Server -> what is wrong with it."""

    def told(self) -> str:
        return "; ".join(f"{url} ({trouble})" for url, trouble in self.troubles.items())

    async def run(self, waiting: Mapping[int, PromptRequest]) -> dict[int, list[ServerCompletion]]:
        """Those that succeeded."""
        await asyncio.gather(*(self._prepare(client) for client in self.clients))
        ready = [client for client in self.clients if client.url not in self.troubles]
        if not ready:
            return {}
        indices = list(waiting)
        parts = [{index: waiting[index] for index in indices[place :: len(ready)]} for place in range(len(ready))]
        made = await asyncio.gather(*map(self._complete_all, ready, parts))
        return {index: answer for part in made for index, answer in part.items()}

    async def _prepare(self, client: ServerClient) -> None:
        models = await client.models()
        if models is None and await client.has_another_key():
            raise RolloutRefused(client.url, "it has another key (CHAMSAE_ROLLOUT_KEY)")
        if models is None or not await client.is_well():
            self.troubles[client.url] = "does not answer" if models is None else "is not healthy"
            return
        if self.config.base not in models:
            held = ", ".join(sorted(models)) or "nothing"
            raise RolloutRefused(client.url, f"it does not have {self.config.base}, only {held}")
        await client.unload_adapters(self.config.prefix, but=self.adapter)
        try:
            if self.adapter not in models:
                await client.load_adapter(self.adapter, self.path)
        except (ServerAway, ServerFailed) as error:
            self.troubles[client.url] = str(error)
        except ServerRefused as error:
            raise RolloutRefused(client.url, str(error)) from error

    async def _complete_all(
        self, client: ServerClient, part: Mapping[int, PromptRequest]
    ) -> dict[int, list[ServerCompletion]]:
        """What succeeded until the server was done with its part, or answered no look any more."""
        found: dict[int, list[ServerCompletion]] = {}

        async def complete(index: int, request: PromptRequest) -> None:
            if (answer := await self._complete(client, request)) is not None:
                found[index] = answer

        work = asyncio.gather(*(complete(index, request) for index, request in part.items()))
        both: list[asyncio.Future[Any]] = [work, asyncio.create_task(_until_silent(client))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                self.troubles[client.url] = "fell silent"
        finally:
            for one in both:
                one.cancel()
            await asyncio.wait(both)
        return found

    async def _complete(self, client: ServerClient, request: PromptRequest) -> list[ServerCompletion] | None:
        """None where the server failed."""
        try:
            answer = await client.post("completions", request.body(self.adapter), ANSWER_S)
        except ServerAway as error:
            self.troubles[client.url] = str(error)
            return None
        if answer.status_code in (404, 429) or answer.status_code >= 500:  # 404: it was started again meanwhile
            self.troubles[client.url] = f"HTTP {answer.status_code}: {answer.text[:300]}"
            return None
        if answer.status_code != 200:
            raise RolloutRefused(client.url, f"HTTP {answer.status_code}: {answer.text[:300]}")
        try:
            return request.read(answer.json(), self.adapter)
        except (ValueError, BadCompletion) as error:
            raise RolloutRefused(client.url, str(error)) from error


async def _until_silent(client: ServerClient) -> None:
    now = asyncio.get_running_loop().time
    answered_at = now()
    while now() - answered_at <= SILENT_S:
        await asyncio.sleep(WATCH_EVERY_S)
        if await client.is_well():
            answered_at = now()
