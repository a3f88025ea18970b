"""Typed readers of environment variables: a bad value stops the start and is named with its variable."""

import os
from pathlib import Path


class BadSetting(ValueError):
    """An environment variable holds something that its setting cannot be."""

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name}={value!r}: expected {wanted}")
        self.name, self.value, self.wanted = name, value, wanted


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


def whole(name: str, default: int, minimum: int = 0) -> int:
    value = os.environ.get(name, "").strip()
    if value == "":
        return default
    try:
        number = int(value)
    except ValueError:
        raise BadSetting(name, value, "a whole number") from None
    if number < minimum:
        raise BadSetting(name, value, f"at least {minimum}")
    return number


def real(name: str, default: float, low: float = float("-inf"), high: float = float("inf")) -> float:
    value = os.environ.get(name, "").strip()
    if value == "":
        return default
    try:
        number = float(value)
    except ValueError:
        raise BadSetting(name, value, "a number") from None
    if not low <= number <= high:
        raise BadSetting(name, value, f"a number from {low} to {high}")
    return number


def words(name: str, default: str = "") -> list[str]:
    """Comma-separated words, blanks dropped."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(name, "") or default
    if value not in choices:
        raise BadSetting(name, value, "one of " + ", ".join(choices))
    return value


def folder(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default).expanduser().resolve()
