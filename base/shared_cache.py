"""The cache in which rate limits are counted: Redis if the site has it, a local cache while Redis is away.

While each process counts for itself a limit is looser, but it holds, and a restart of Redis locks nobody out.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache

try:
    from redis.exceptions import RedisError
except ImportError:  # a site without Redis

    class RedisError(Exception):  # type: ignore[no-redef]
        """Never raised."""


logger = logging.getLogger(__name__)
T = TypeVar("T")

AWAY_S = 5.0
"""After a failure Redis is not tried for this long, so that not every request waits for it."""
_local = LocMemCache("shared-cache-fallback", {})
_away_until = 0.0


def in_cache(work: Callable[[BaseCache], T]) -> T:
    """The result of the work on the shared cache, or on the local one where that fails."""
    global _away_until
    if time.monotonic() >= _away_until:
        try:
            return work(cache)
        except (RedisError, OSError) as error:
            _away_until = time.monotonic() + AWAY_S
            logger.warning("the cache is away, limits count in this process: %s", error)
    return work(_local)


def count(key: str, window_s: int) -> tuple[int, float]:
    """Adds one to the key. Returns its count in the current window, and the seconds left of that window."""
    now = time.time()
    name = f"{key}:{int(now // window_s)}"

    def add_one(counters: BaseCache) -> int:
        counters.add(name, 0, timeout=2 * window_s)
        return counters.incr(name)

    return in_cache(add_one), window_s - now % window_s
