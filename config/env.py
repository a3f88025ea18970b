"""Typed readers of environment variables; an invalid value stops the start with an error that names the variable."""

import os
import re
from pathlib import Path
from typing import Any

from config import services


class BadSetting(ValueError):
    """An environment variable has a value that its setting does not allow."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r}: expected {expected}")
        self.name, self.value, self.expected = name, value, expected


def text(name: str, default: str = "") -> str:
    return os.environ.get(name) or default


def address(name: str, default: str = "") -> str:
    """Of a service; one of sentinels has to name the hosts and the master."""
    value = text(name, default)
    if services.is_sentinel(value):
        try:
            services.Sentinels.read(value)
        except services.BadAddress as error:
            raise BadSetting(name, value.rpartition("@")[2], str(error)) from None  # without the password
    return value


def shared_state(name: str, endpoint: str) -> dict[str, Any]:
    """The storage by which hosts share state (config.services). Keys of engines, and the names that hide people in
    what they share, are made from the site's secret, so a secret of each host's own would not do."""
    value = text(name)
    if value and not text("CHAMSAE_SECRET_KEY"):
        raise BadSetting("CHAMSAE_SECRET_KEY", "", f"to be given, the same on every host, where {name} is set")
    try:
        return services.shared_state(value, endpoint)
    except services.BadAddress as error:
        raise BadSetting(name, value, str(error)) from None


def phrase(name: str, default: str) -> str:
    """Words of one's own, of which there may be none: set and empty, it is empty."""
    return os.environ.get(name, default).strip()


def flag(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value == "":
        return default
    raise BadSetting(name, value, "1 or 0")


def integer(name: str, default: int, minimum: int = 0, maximum: int | None = None) -> int:
    value = os.environ.get(name, "").strip()
    if value == "":
        return default
    try:
        found = int(value)
    except ValueError:
        raise BadSetting(name, value, "a whole number") from None
    if found < minimum:
        raise BadSetting(name, value, f"at least {minimum}")
    if maximum is not None and found > maximum:
        raise BadSetting(name, value, f"at most {maximum}")
    return found


def number(name: str, default: float, low: float = float("-inf"), high: float = float("inf")) -> float:
    value = os.environ.get(name, "").strip()
    if value == "":
        return default
    try:
        found = float(value)
    except ValueError:
        raise BadSetting(name, value, "a number") from None
    if not low <= found <= high:
        raise BadSetting(name, value, f"a number from {low} to {high}")
    return found


def niceness(name: str, default: str) -> int | None:
    """A niceness from 0 to 19; None for `idle`: only the time that nobody else wants."""
    value = os.environ.get(name, "").strip() or default
    if value == "idle":
        return None
    if not value.isdecimal():
        raise BadSetting(name, value, "idle, or a niceness from 0 to 19")
    return min(19, int(value))


def words(name: str, default: str = "", separators: str = ",") -> list[str]:
    """Words between commas, or any of the separators, stripped, without empty ones."""
    found = re.split(f"[{re.escape(separators)}]", os.environ.get(name, default))
    return [word.strip() for word in found if word.strip()]


def servers(name: str) -> list[str]:
    """Addresses of model servers between commas or spaces."""
    found = words(name, separators=", ")
    for url in found:
        if not services.is_http(url):
            raise BadSetting(name, url.rpartition("@")[2], "http://HOST:PORT/v1")  # without a password
    return found


def server(name: str) -> str:
    """One address of a server, or nothing."""
    found = servers(name)
    if len(found) > 1:
        raise BadSetting(name, " ".join(found), "one address")
    return found[0] if found else ""


def key(name: str) -> str:
    """What is sent in a header."""
    value = text(name)
    if not (value.isascii() and value.isprintable()):
        raise BadSetting(name, "...", "letters, digits and signs of ASCII")
    return value


def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(name, "") or default
    if value not in choices:
        raise BadSetting(name, value, "one of " + ", ".join(choices))
    return value


def folder(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default).expanduser().resolve()
