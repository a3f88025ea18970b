"""Rate limits for people who are not signed in: failed sign-ins per user name and address, sign-ups per address."""

import hashlib
import ipaddress
import time
from dataclasses import dataclass

from django.conf import settings

from base.shared_cache import in_cache

FAILURES = 10
WINDOW_S = 3600


@dataclass(frozen=True)
class Attempts:
    """Failed sign-ins of one user name from one address within the last hour."""

    username: str
    address: str

    @property
    def key(self) -> str:
        # Hashed: a user name may contain characters that a cache key must not, and should not be stored in a cache.
        return "sign-in:" + hashlib.sha256(f"{self.username.casefold()}\n{self.address}".encode()).hexdigest()

    def retry_after_s(self) -> int:
        """Seconds until the next attempt is allowed; 0: now."""
        count, until = in_cache(lambda cache: cache.get(self.key, (0, 0.0)))
        return max(1, round(until - time.time())) if count >= FAILURES and until > time.time() else 0

    def add_failure(self) -> None:
        count, until = in_cache(lambda cache: cache.get(self.key, (0, 0.0)))
        if until <= time.time():
            count, until = 0, time.time() + WINDOW_S
        in_cache(lambda cache: cache.set(self.key, (count + 1, until), WINDOW_S))

    def forget(self) -> None:
        in_cache(lambda cache: cache.delete(self.key))


@dataclass(frozen=True)
class SignUps:
    """Accounts made from one address within the last hour; for IPv6 from one /64 network, which a household has."""

    address: str

    @property
    def key(self) -> str:
        return "sign-up:" + hashlib.sha256(self._network().encode()).hexdigest()

    def _network(self) -> str:
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)

    def retry_after_s(self) -> int:
        """Seconds until the next sign-up is allowed; 0: now."""
        times = self._times()
        if not settings.SIGN_UPS_PER_HOUR or len(times) < settings.SIGN_UPS_PER_HOUR:
            return 0
        return max(1, round(times[-settings.SIGN_UPS_PER_HOUR] + WINDOW_S - time.time()))

    def add(self) -> None:
        times = [*self._times(), time.time()]
        in_cache(lambda cache: cache.set(self.key, times, WINDOW_S))

    def _times(self) -> list[float]:
        """When the accounts were made, oldest first."""
        made: list[float] = in_cache(lambda cache: cache.get(self.key, []))
        return [at for at in made if at > time.time() - WINDOW_S]
