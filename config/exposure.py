"""Who could reach a site: a demo, whose passwords everybody knows, is for one machine or one private network."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from config.env import BadSetting

LOCAL_ENDINGS = (".localhost", ".local", ".internal", ".lan", ".test")


class DemoExposed(Exception):
    """A demo was to listen where strangers reach it."""

    code = "demo_exposed"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"a demo has published passwords and does not listen at {host}: "
            "use --host 127.0.0.1, or CHAMSAE_DEBUG=0 for a real site"
        )
        self.host = host


def check_origins(origins: Iterable[str]) -> None:
    """Raises BadSetting where a demo has an origin that strangers could reach."""
    public = [origin for origin in origins if _is_public(urlsplit(origin).hostname or "")]
    if public:
        raise BadSetting("CHAMSAE_DEBUG", "1", f"0: a demo has published passwords, and {public[0]} is public")


def check_address(host: str) -> None:
    """Raises DemoExposed. Every address of the machine (0.0.0.0) counts as a public one."""
    if host in ("", "0.0.0.0", "::") or _is_public(host):  # noqa: S104 (refused, not bound)
        raise DemoExposed(host or "every address")


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:  # a name; one without a dot is known on its own network alone
        return "." in host and not host.endswith(LOCAL_ENDINGS)
