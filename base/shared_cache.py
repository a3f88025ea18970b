"""The cache that limits count in: Redis where the site has one, this process while Redis is away.

Counted by each process for itself a limit is looser, but it holds, and nobody is locked out of a site whose Redis
restarts.
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
"""After a failure Redis is left alone for this long, so that not every visitor waits for it."""
_local = LocMemCache("shared-cache-fallback", {})
_away_until = 0.0


def in_cache(work: Callable[[BaseCache], T]) -> T:
    """The result of the work on the cache, which may be done anew on the local one."""
    global _away_until
    if time.monotonic() >= _away_until:
        try:
            return work(cache)
        except (RedisError, OSError) as error:
            _away_until = time.monotonic() + AWAY_S
            logger.warning("the cache is away, limits count in this process: %s", error)
    return work(_local)


def count(key: str, window_s: int) -> tuple[int, float]:
    """Adds one to the key; how often that was in the present window of so many seconds, and what is left of it."""
    now = time.time()
    name = f"{key}:{int(now // window_s)}"

    def add_one(kept: BaseCache) -> int:
        kept.add(name, 0, timeout=2 * window_s)
        return kept.incr(name)

    return in_cache(add_one), window_s - now % window_s
