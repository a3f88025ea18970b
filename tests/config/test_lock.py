"""What `make setup` installs is locked: each package by release and hash, within the ranges of pyproject.toml."""

import re
import tomllib

from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())
NOT_LOCKED = set(PROJECT["tool"]["uv"]["exclude-dependencies"])
INSTALLED = ("train", "services", "s3", "dev")


def locked():
    """Each entry of the lock with its hashes, by name; a name has several where Pythons need different releases."""
    text = (settings.BASE_DIR / "requirements.lock").read_text()
    found = {}
    for entry in re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL):
        pin, hashes = Requirement(entry.split("\\")[0].strip()), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry)
        found.setdefault(canonicalize_name(pin.name), []).append((pin, hashes))
    return found


def wanted():
    extras = PROJECT["project"]["optional-dependencies"]
    listed = [*PROJECT["project"]["dependencies"], *(line for extra in INSTALLED for line in extras[extra])]
    return [Requirement(line) for line in listed]


def test_the_lock_holds_all_that_is_wanted_and_within_its_range():
    pins = locked()
    for requirement in wanted():
        name = canonicalize_name(requirement.name)
        if name in NOT_LOCKED:
            assert name not in pins
            continue
        assert name in pins, f"{name} is not in requirements.lock: make lock"
        for pin, _ in pins[name]:
            (exact,) = pin.specifier
            assert exact.operator == "=="
            assert exact.version in requirement.specifier, f"{pin}: make lock"


def test_every_entry_has_hashes():
    pins = locked()
    assert len(pins) > 100
    assert [name for name, entries in pins.items() for _, hashes in entries if not hashes] == []


def test_setup_installs_by_hash_what_the_lock_holds():
    text = (settings.BASE_DIR / "Makefile").read_text()
    assert "--no-deps --require-hashes -r requirements.lock" in text
    assert f"EXTRAS := {','.join(INSTALLED)}\n" in text
