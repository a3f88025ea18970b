"""Token counts of each part of the next prompt, for the meter of the context window."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from base.trimming import reserve
from chat.conversations.answerer import Answerer
from chat.errors import ChatError, TooLong
from chat.models import Policy
from chat.prompts.fitting import count, fit
from chat.prompts.history import context_window, renderer_of
from chat.prompts.rendering import Renderer, Turn


@dataclass(frozen=True)
class Shares:
    """In tokens. `instructions` to `form` add up to the prompt that would be sent."""

    context: int
    """The whole window: prompt and reply together."""
    reply: int
    """Reserved for the reply."""
    instructions: int
    examples: int
    history: int
    draft: int
    form: int
    """What the chat template adds around the turns and before them."""
    dropped: int
    """Messages, oldest first, that do not fit and are left out."""
    is_exact: bool
    """False where the policy's tokenizer is not here and lengths are estimated."""
    problem: ChatError | None = None
    """Why the draft could not be sent as it is."""

    @property
    def prompt(self) -> int:
        return self.instructions + self.examples + self.history + self.draft + self.form


def shares(answerer: Answerer, history: Sequence[Turn], draft: str) -> Shares:
    """Of the prompt that the draft would make for the answerer. Raises BadPolicy."""
    policy = answerer.policy or Policy.objects.filter(is_live=True).first()
    context = context_window(policy) if policy else settings.CHAT_CONTEXT_TOKENS
    renderer = renderer_of(policy) if policy else None
    completion_tokens = answerer.parameters.max_completion_tokens
    head = answerer.preamble
    turns = [*head, *history, Turn(role="user", content=draft)]
    problem: ChatError | None = None
    try:
        prompt = fit(turns, renderer, context_tokens=context, completion_tokens=completion_tokens, kept=len(head))
        sent, dropped = prompt.messages, prompt.dropped
    except TooLong as error:
        sent, dropped, problem = [*head, turns[-1]], len(history), error
    return Shares(
        context=context,
        reply=reserve(completion_tokens, context),
        **_sizes(sent, len(head), renderer),
        dropped=dropped,
        is_exact=renderer is not None,
        problem=problem,
    )


def _sizes(turns: Sequence[Turn], kept: int, renderer: Renderer | None) -> dict[str, int]:
    """The tokens by which the prompt shrinks when a part's texts are emptied; `form` is what is left then."""
    total, last = count(turns, renderer), len(turns) - 1
    first_example = int(kept > 0 and turns[0]["role"] == "system")

    def size(start: int, end: int) -> int:
        emptied = [Turn(role=turn["role"], content="") if start <= i < end else turn for i, turn in enumerate(turns)]
        return max(0, total - count(emptied, renderer)) if start < end else 0

    sizes = {
        "instructions": size(0, first_example),
        "examples": size(first_example, kept),
        "history": size(kept, last),
        "draft": size(last, last + 1),
    }
    return sizes | {"form": total - sum(sizes.values())}
