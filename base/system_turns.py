"""Instructions for a model whose chat template knows none: they stand in front of the first question.

One rule for what people are answered from and what is trained on, so nothing of Django is imported here.
"""

from collections.abc import Callable, Mapping, Sequence

MARK = "instructions-4d1f"
"""A text that no template writes by itself."""


def are_rendered(render: Callable[[list[dict[str, str]]], str], refusals: tuple[type[Exception], ...]) -> bool:
    """Whether a template shows instructions before a question; Gemma's refuses them, and others leave them out."""
    try:
        return MARK in render([{"role": "system", "content": MARK}, {"role": "user", "content": "a"}])
    except refusals:
        return False


def folded(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The messages without a system turn at their start: its text leads the user's turn that follows, or is one."""
    turns = [dict(turn) for turn in messages]
    if not turns or turns[0]["role"] != "system":
        return turns
    instructions, rest = turns[0]["content"], turns[1:]
    if rest and rest[0]["role"] == "user":
        return [{**rest[0], "content": f"{instructions}\n\n{rest[0]['content']}"}, *rest[1:]]
    return [{"role": "user", "content": instructions}, *rest]
