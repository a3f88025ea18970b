"""One OpenAI-compatible server: whether it is well, what it lists, and LoRA adapters, by vLLM's endpoints for them.

Training runs without Django, so nothing of it is imported here.
"""

import logging
from dataclasses import dataclass
from typing import Any

import httpx

LOAD_S, UNLOAD_S, LOOK_S = 60.0, 10.0, 5.0
NO_LIMIT = httpx.Timeout(None, connect=LOOK_S)
"""But for the connection: each request says how long it waits."""
TOO_LARGE = "greater than max_lora_rank"
"""vLLM says so of an adapter with the status of a failure."""
ANY_NUMBER = httpx.Limits(max_connections=None)
log = logging.getLogger(__name__)


class ServerAway(Exception):
    """It does not answer, or not in time."""


class ServerRefused(Exception):
    """It answers, but does not do what it is asked for, and says why."""


class ServerFailed(ServerRefused):
    """It could not do it for a reason of its own, which may pass."""


class AdapterUnseen(ServerRefused):
    """There is no adapter at the path that it was given, as it sees its own files."""

    def __init__(self, path: str) -> None:
        super().__init__(f"it sees no adapter at {path}")
        self.path = path


class AdaptersOff(ServerRefused):
    """It was not started so that it takes adapters while it runs."""

    def __init__(self) -> None:
        super().__init__("it takes no adapters while it runs (VLLM_ALLOW_RUNTIME_LORA_UPDATING, --enable-lora)")


@dataclass(frozen=True)
class ListedModel:
    """As in the answer of `/v1/models`."""

    name: str
    parent: str = ""
    """The model that it changes, if it is an adapter and the server says so."""
    root: str = ""
    """Where the server has it from."""


class ServerClient:
    """Client of one server, for several tasks at a time."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: httpx.Timeout = NO_LIMIT,
        limits: httpx.Limits = ANY_NUMBER,
    ) -> None:
        """`url`: up to `/v1`."""
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=f"{self.url}/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout,
            limits=limits,
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def status(self, path: str) -> int | None:
        """The status with which the server answers; None where it does not."""
        try:
            return (await self._http.get(path, timeout=LOOK_S)).status_code
        except httpx.HTTPError:
            return None

    async def health(self) -> int | None:
        """The status of `/health`, beside `/v1`; None where it does not answer."""
        return await self.status(f"{self.url.removesuffix('/v1')}/health")

    async def is_well(self) -> bool:
        """vLLM lists its models though the process that generates is gone; others do not have `/health`."""
        status = await self.health()
        return status is not None and status < 500

    async def has_another_key(self) -> bool:
        """Whether it answers, but not to this key."""
        return await self.status("models") in (401, 403)

    async def models(self) -> dict[str, ListedModel] | None:
        """What the server lists, by its names, empty where it lists nothing; None where it does not answer."""
        try:
            answer = await self._http.get("models", timeout=LOOK_S)
            if answer.status_code != 200:
                return None
            listed = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        rows = listed.get("data") if isinstance(listed, dict) else None
        found = [row for row in rows or [] if isinstance(row, dict)]
        models = [ListedModel(*(str(row.get(name) or "") for name in ("id", "parent", "root"))) for row in found]
        return {model.name: model for model in models}

    async def post(self, path: str, body: dict[str, Any], timeout_s: float) -> httpx.Response:
        """The whole answer, of any status; the connection has LOOK_S, however long it may take. Raises ServerAway."""
        limit = httpx.Timeout(timeout_s, connect=LOOK_S)
        try:
            return await self._http.post(path, json=body, timeout=limit)
        except httpx.HTTPError as error:
            raise ServerAway(f"{type(error).__name__}: {error}") from error

    async def load_adapter(self, name: str, path: str) -> None:
        """Nothing where it has that name already. Raises ServerAway, ServerFailed, AdapterUnseen, AdaptersOff,
        ServerRefused."""
        answer = await self.post("load_lora_adapter", {"lora_name": name, "lora_path": path}, LOAD_S)
        status, said = answer.status_code, answer.text[:4096]
        if status == 200 or (status == 400 and "already been loaded" in said):
            return
        if status == 404 and "No adapter found" in said:
            raise AdapterUnseen(path)
        if status in (404, 405):
            raise AdaptersOff
        if status >= 500 and not await self.is_well():
            raise ServerAway(f"HTTP {status}: {said[:300]}")
        may_pass = status >= 500 and TOO_LARGE not in said
        raise (ServerFailed if may_pass else ServerRefused)(f"HTTP {status}: {said[:300]}")

    async def unload_adapter(self, name: str) -> None:
        """Nothing where it has none of that name. Raises ServerAway, ServerRefused."""
        answer = await self.post("unload_lora_adapter", {"lora_name": name}, UNLOAD_S)
        if answer.status_code not in (200, 404):
            raise ServerRefused(f"HTTP {answer.status_code}: {answer.text[:300]}")

    async def unload_adapters(self, prefix: str, *, but: str = "") -> None:
        """Those whose names begin so, except one. What the server does not do is logged and left to the next call."""
        for name in await self.models() or ():
            if name.startswith(prefix) and name != but:
                try:
                    await self.unload_adapter(name)
                except (ServerAway, ServerRefused) as error:
                    log.warning("%s keeps the adapter %s: %s", self.url, name, error)
