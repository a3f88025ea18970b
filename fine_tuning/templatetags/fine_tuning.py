"""Template filters of the pages of models and training files."""

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
    """(name, text) of each part of a row: the name is a role, or the key in the file."""
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
    """Shows line breaks as `\\n`, and spaces at the ends as signs, since they matter in training data."""
    shown = quoted(text)[1:-1]
    inner = shown.strip(" ")
    before = len(shown) - len(shown.lstrip(" "))
    return SPACE * before + inner + SPACE * (len(shown) - before - len(inner))
