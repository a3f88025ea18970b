"""Typed readers of environment variables; an invalid value stops the start with an error that names the variable."""

import os
from pathlib import Path


class BadSetting(ValueError):
    """An environment variable has a value that its setting does not allow."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r}: expected {expected}")
        self.name, self.value, self.expected = name, value, expected


def text(name: str, default: str = "") -> str:
    return os.environ.get(name) or default


def flag(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value == "":
        return default
    raise BadSetting(name, value, "1 or 0")


def integer(name: str, default: int, minimum: int = 0) -> int:
    value = os.environ.get(name, "").strip()
    if value == "":
        return default
    try:
        found = int(value)
    except ValueError:
        raise BadSetting(name, value, "a whole number") from None
    if found < minimum:
        raise BadSetting(name, value, f"at least {minimum}")
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


def words(name: str, default: str = "") -> list[str]:
    """Comma-separated words, stripped, without empty ones."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(name, "") or default
    if value not in choices:
        raise BadSetting(name, value, "one of " + ", ".join(choices))
    return value


def folder(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default).expanduser().resolve()
