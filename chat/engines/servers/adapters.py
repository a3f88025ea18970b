"""Puts policies on a server as LoRA adapters, by vLLM's endpoints for that, and takes them off.

A policy has one name for good, so an adapter is never loaded again in its place: streams under way keep theirs, and a
rollback is a name that the server still lists.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from django.conf import settings

from base.model_server import AdaptersOff, AdapterUnseen, ServerAway, ServerRefused
from chat import policies
from chat.engines.client import OpenAIClient
from chat.engines.servers.troubles import AdapterRefused, Trouble
from chat.errors import EngineDown
from chat.models import Policy


@dataclass(frozen=True)
class ServedAdapter:
    """The adapter of a policy, as a server is told of it."""

    name: str
    """The policy's."""
    base: str
    """The name of the policy that it changes, which the server has to hold."""
    path: str
    """Of its folder, where the server sees it."""


async def adapter_of(policy: Policy) -> ServedAdapter | None:
    """None of a policy without one. Raises BadPolicy where its files are not those that were registered."""
    return await asyncio.to_thread(_adapter_of, policy)


def _adapter_of(policy: Policy) -> ServedAdapter | None:
    facts = policies.adapter(policy) if policy.directory else None
    if facts is None:
        return None
    policies.fetched(policy)
    policies.verify_adapter(policy)
    return ServedAdapter(policy.name, facts.base, path_of(policy))


def path_of(policy: Policy) -> str:
    """Of the policy's adapter, where a server sees it."""
    seen_at = PurePosixPath(settings.CHAT_ENGINE_ADAPTERS or settings.MODELS_DIR)
    return str(seen_at / policy.directory / policies.ADAPTER)


async def load(client: OpenAIClient, adapter: ServedAdapter) -> None:
    """Raises EngineDown, and AdapterRefused with what an admin has to change."""
    with _errors_of_engines():
        await client.load_adapter(adapter.name, adapter.path)


async def unload(client: OpenAIClient, name: str) -> None:
    """Raises EngineDown, AdapterRefused."""
    with _errors_of_engines():
        await client.unload_adapter(name)


@contextmanager
def _errors_of_engines() -> Iterator[None]:
    try:
        yield
    except ServerAway as error:
        raise EngineDown(str(error)) from error
    except AdapterUnseen as error:
        raise AdapterRefused(Trouble("no_adapter", error.path)) from error
    except AdaptersOff as error:
        raise AdapterRefused(Trouble("no_loading")) from error
    except ServerRefused as error:
        raise AdapterRefused(Trouble("other", str(error))) from error
