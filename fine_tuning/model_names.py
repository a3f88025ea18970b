"""The names of fine-tuned models, and the names under which a training's price is looked up."""

import re
import secrets
import string
from datetime import UTC, datetime

from chat.models import Policy

ORGANISATION = "personal"
MAX_BASE_CHARS, MAX_SUFFIX_CHARS = 48, 40
RANDOM = string.ascii_letters + string.digits


def _root(model: str) -> str:
    """The base in a fine-tune's name: `davinci` of `davinci:ft-personal-...` and of `ft:davinci:personal::x`."""
    parts = model.split(":")
    return parts[1] if parts[0] == "ft" and len(parts) > 1 else parts[0]


def suffix_of(given: str) -> str:
    """In lower case, with a single dash for anything but letters and digits, at most 40 characters."""
    return re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")[:MAX_SUFFIX_CHARS].strip("-")


def legacy_name(model: str, suffix: str, at: datetime) -> str:
    """As in `davinci:ft-personal-2026-11-24-06-37-36` and `davinci:ft-personal:island-2026-11-24-06-37-36`."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%d-%H-%M-%S")
    middle = f":{suffix}-" if suffix else "-"
    return f"{_root(model)[:MAX_BASE_CHARS]}:ft-{ORGANISATION}{middle}{moment}"


def name(model: str, suffix: str) -> str:
    """As in `ft:gpt-3.5-turbo:personal:island:9aZq2Lx7`."""
    random = "".join(secrets.choice(RANDOM) for _ in range(8))
    return f"ft:{_root(model)[:MAX_BASE_CHARS]}:{ORGANISATION}:{suffix}:{random}"


def price_names(model: str, policy: Policy | None) -> list[str]:
    """`model` as it was asked for, its base model's name, and the policies that it was made from, nearest first."""
    found = [model, _root(model)]
    while policy is not None:
        found += [policy.name, _root(policy.label)] if policy.label else [policy.name]
        policy = policy.base
    return [one for one in dict.fromkeys(found) if one]
