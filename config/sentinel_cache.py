"""Django's cache in the Redis that its sentinels name as the master."""

from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from config.services import Sentinels


class SentinelCacheClient(RedisCacheClient):
    """Asks the sentinels at each new connection, so that a failover costs the requests under way and no others."""

    _servers: list[str]
    _pools: dict[int, Any]
    _pool_options: dict[str, Any]

    def _get_connection_pool(self, write: bool) -> Any:
        """One pool for reads and writes: what a replica has not got yet would be read as absent."""
        from redis.sentinel import Sentinel, SentinelConnectionPool

        if 0 not in self._pools:
            found = Sentinels.read(self._servers[0])
            within = {name: value for name, value in self._pool_options.items() if name.startswith("socket_")}
            manager = Sentinel(found.hosts, sentinel_kwargs=within)  # type: ignore[no-untyped-call]
            options = {**self._pool_options, **found.login()}
            self._pools[0] = SentinelConnectionPool(found.name, manager, **options)  # type: ignore[no-untyped-call]
        return self._pools[0]


class SentinelCache(RedisCache):
    _servers: list[str]
    _class: type[RedisCacheClient]

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._servers = [server]  # its own constructor takes the commas for those between several caches
        self._class = SentinelCacheClient
