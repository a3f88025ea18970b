"""How the pages of own models write figures and states."""

from typing import Any

from django import template

from chat.prompts.rendering import ROLES
from fine_tuning.data.preparing import quoted
from fine_tuning.models import FineTune

register = template.Library()
SPACE = "␣"
TONES = {
    FineTune.State.RUNNING: "warn",
    FineTune.State.SUCCEEDED: "ok",
    FineTune.State.FAILED: "bad",
}


@register.filter
def job_tone(state: str) -> str:
    """The badge class of a job's state."""
    return TONES.get(FineTune.State(state), "")


@register.filter
def parts_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """What a line says, part by part, each with its name: a role, or the key in the file."""
    parts: list[tuple[str, str]] = []
    for name in ("messages", "prompt", "completion", "chosen", "rejected"):
        value = row.get(name)
        if isinstance(value, list):
            parts += [(turn["role"] if turn["role"] in ROLES else name, turn["content"]) for turn in value]
        elif isinstance(value, str):
            parts.append((name, value))
    return parts


@register.filter
def visible(text: str) -> str:
    """With its line breaks as people write them, and the spaces at its ends as signs, since they count here."""
    shown = quoted(text)[1:-1]
    inner = shown.strip(" ")
    before = len(shown) - len(shown.lstrip(" "))
    return SPACE * before + inner + SPACE * (len(shown) - before - len(inner))
