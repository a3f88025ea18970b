"""What stands before a conversation: the assistant's turns, with a person's own instructions in the system turn."""

from collections.abc import Sequence

from chat.prompts.rendering import Turn


def with_system_prompt(turns: Sequence[Turn], system_prompt: str) -> list[Turn]:
    """The site's own instructions stand before turns that begin with none."""
    if not system_prompt or (turns and turns[0]["role"] == "system"):
        return list(turns)
    return [Turn(role="system", content=system_prompt), *turns]


def preamble_with(assistants_turns: Sequence[Turn], instructions: str) -> list[Turn]:
    """The instructions follow the assistant's, since templates have one system turn at most; examples come after."""
    turns = list(assistants_turns)
    if not instructions:
        return turns
    if turns and turns[0]["role"] == "system":
        return [Turn(role="system", content=f"{turns[0]['content']}\n\n{instructions}"), *turns[1:]]
    return [Turn(role="system", content=instructions), *turns]
