"""The packages that pyproject.toml requires, with their lowest versions, and which versions are installed."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*])?\s*(>=\s*(?P<floor>[\d.]+))?")


@dataclass(frozen=True)
class Floor:
    name: str
    lowest: str

    @property
    def installed(self) -> str:
        """The installed version; empty if the package is not installed."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return ""

    @property
    def is_met(self) -> bool:
        return bool(self.installed) and numbers(self.installed) >= numbers(self.lowest)


def numbers(version: str) -> tuple[int, ...]:
    """`5.20.0rc1+cpu` is (5, 20, 0): enough to compare with a floor."""
    return tuple(int(part) for part in re.findall(r"^[\d.]*\d", version)[0].split(".")) if version else ()


@cache
def project() -> dict[str, list[str]]:
    """Requirement lines by group; the group `run` is what the site itself needs to run."""
    table = tomllib.loads(PYPROJECT.read_text())["project"]
    return {"run": table["dependencies"], **table["optional-dependencies"]}


def floors(group: str) -> Iterator[Floor]:
    for line in project()[group]:
        if match := REQUIREMENT.match(line):
            yield Floor(match["name"], match["floor"] or "0")
