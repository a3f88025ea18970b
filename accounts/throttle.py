"""A limit on failed sign-ins per user name and address, kept in the cache."""

import hashlib
import time
from dataclasses import dataclass

from django.core.cache import cache

FAILURES = 10
WINDOW_S = 3600


@dataclass(frozen=True)
class Attempts:
    """Failed sign-ins of one user name from one address within the last hour."""

    username: str
    address: str

    @property
    def key(self) -> str:
        # Hashed: a user name may hold what a cache key may not, and need not lie about in a cache.
        return "sign-in:" + hashlib.sha256(f"{self.username.casefold()}\n{self.address}".encode()).hexdigest()

    def retry_after_s(self) -> int:
        """Seconds until the next try; 0: now."""
        count, until = cache.get(self.key, (0, 0.0))
        return max(1, round(until - time.time())) if count >= FAILURES and until > time.time() else 0

    def add_failure(self) -> None:
        count, until = cache.get(self.key, (0, 0.0))
        if until <= time.time():
            count, until = 0, time.time() + WINDOW_S
        cache.set(self.key, (count + 1, until), WINDOW_S)

    def forget(self) -> None:
        cache.delete(self.key)
