"""Which addresses a webhook may have: none by which the site could be made to talk to its own network.

The name is resolved here, every address that it has is checked, and the request goes to the address that was checked:
a name that means another machine a moment later leads nowhere else.
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses, private ones among them, behind a translator (RFC 6052)."""
LONGEST = 500


class BadHookAddress(Exception):
    """Base of all of them; the text is shown to admins."""

    code = "bad_address"


class PrivateAddress(BadHookAddress):
    code = "private_address"

    def __str__(self) -> str:
        return _("%(host)s is an address of a private network. CHAMSAE_WEBHOOK_PRIVATE allows these.") % {
            "host": self.args[0]
        }


class UnknownHost(BadHookAddress):
    code = "unknown_host"

    def __str__(self) -> str:
        return _("%(host)s has no address: the name is wrong, or cannot be resolved now.") % {"host": self.args[0]}


class NotAnAddress(BadHookAddress):
    code = "not_an_address"

    def __str__(self) -> str:
        return _("Expected an address such as https://example.org/hook, without a password and a fragment.")


class NotEncrypted(BadHookAddress):
    code = "not_encrypted"

    def __str__(self) -> str:
        return _("Expected https://: what is sent is for nobody in between.")


@dataclass(frozen=True)
class Target:
    """An address that was checked, and the machine that it stands for."""

    scheme: str
    host: str
    port: int
    path: str
    ip: str

    @property
    def url(self) -> str:
        """With the machine in place of the name."""
        literal = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{self.scheme}://{literal}:{self.port}{self.path}"

    @property
    def authority(self) -> str:
        """The header Host."""
        literal = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return literal if self.port == usual else f"{literal}:{self.port}"


def check(url: str) -> Target:
    """Resolves the name. Raises BadHookAddress."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
        host = (parts.hostname or "").encode("idna").decode() if not _is_literal(parts.hostname) else parts.hostname
    except (ValueError, UnicodeError) as error:
        raise NotAnAddress from error
    has_more = parts.username is not None or parts.password is not None or parts.fragment
    if not host or not port or has_more or len(url) > LONGEST or not url.isprintable() or " " in url:
        raise NotAnAddress
    if parts.scheme != "https" and not settings.FEEDBACK_WEBHOOK_PRIVATE:
        raise NotEncrypted
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, _resolved(host, port))


def _is_literal(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def _resolved(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHost(host) from error
    addresses = [str(row[4][0]) for row in found]
    if not addresses:
        raise UnknownHost(host)
    if not settings.FEEDBACK_WEBHOOK_PRIVATE and not all(map(_is_public, addresses)):
        raise PrivateAddress(host)
    return addresses[0]


def _is_public(written: str) -> bool:
    address: IpAddress = ipaddress.ip_address(written.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            address = inner
        elif address in TRANSLATED:
            return False
    return address.is_global and not address.is_multicast
