"""Watches the model servers elsewhere: stores what the talker sees of them, and takes retired policies off them."""

import asyncio
import logging
import time

from django.conf import settings
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from base.database_thread import DatabaseThread
from chat.engines.loading import uses_servers
from chat.engines.servers import adapters
from chat.engines.servers.pool import ServerPool
from chat.engines.servers.server import RemoteServer
from chat.errors import EngineError
from chat.models import EngineProcess, ModelServer, Policy

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 2.0
TIDY_EVERY_S = 30.0


class ServerWatch:
    def __init__(self, database: DatabaseThread) -> None:
        self.database = database
        self.pool: ServerPool | None = None
        self._tidied_at = 0.0

    async def run(self) -> None:
        """Until cancelled; at once where the settings name no servers. Keeps the pool of this loop open meanwhile."""
        await self.database(_forget_others, settings.CHAT_ENGINE_URLS if uses_servers() else [])
        if not uses_servers():
            return
        self.pool = pool = ServerPool.join(self)
        try:
            while True:
                try:
                    await self.step(pool)
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                await asyncio.sleep(WATCH_EVERY_S)
        finally:
            await pool.leave(self)

    async def step(self, pool: ServerPool) -> None:
        await pool.look(WATCH_EVERY_S / 2)
        await self.database(_store, [_row(server) for server in pool.servers])
        if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
            self._tidied_at = time.monotonic()
            for server in pool.up():
                await self._tidy(server)

    async def _tidy(self, server: RemoteServer) -> None:
        """A retired policy has no weights any more: no reply and no rollback can name it."""
        held = {model.name: model.root for model in server.listed.values() if model.parent}
        for policy in await self.database(_retired, list(held)):
            if held[policy.name] != adapters.path_of(policy):
                continue  # somebody else's, under the same name
            try:
                await server.unload(policy.name)
                logger.info("%s was taken off %s", policy.name, server.url)
            except EngineError as error:
                logger.warning("%s stays on %s: %s", policy.name, server.url, error)


def _row(server: RemoteServer) -> ModelServer:
    return ModelServer(
        url=server.url[:300],
        state=ModelServer.State.UP if server.is_up else ModelServer.State.DOWN,
        listed=sorted(server.listed),
        refusals={name: why.stored for name, why in server.refusals.items()},
        streams=server.streams,
        error=server.trouble.stored[:2000] if server.trouble is not None else "",
        seen_at=timezone.now(),
    )


# --- rows -----------------------------------------------------------------------------------------------------


def _store(rows: list[ModelServer]) -> None:
    fields = ["state", "listed", "refusals", "streams", "error", "seen_at"]
    ModelServer.objects.bulk_create(rows, update_conflicts=True, unique_fields=["url"], update_fields=fields)


def _forget_others(urls: list[str]) -> None:
    ModelServer.objects.exclude(url__in=[url.rstrip("/")[:300] for url in urls]).delete()


def _retired(names: list[str]) -> list[Policy]:
    """Those of them that nobody can be answered by."""
    serving = EngineProcess.objects.exclude(state=EngineProcess.State.DEAD)
    retired = Policy.objects.filter(name__in=names, retired_at__isnull=False, is_live=False)
    return list(retired.exclude(pk__in=serving.values("policy")))
