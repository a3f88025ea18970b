"""Prompts of programs, which are never trimmed: a conversation, a raw text, or token ids."""

from collections.abc import Sequence
from dataclasses import replace

from chat.engines.engine import Parameters
from chat.errors import ContextExceeded, UnknownTokens
from chat.models import Policy
from chat.prompts.fitting import CHARACTERS_A_TOKEN, PolicyPrompt, count
from chat.prompts.history import context_window, renderer_of
from chat.prompts.rendering import Turn


def conversation(policy: Policy, turns: Sequence[Turn]) -> PolicyPrompt:
    """Raises TurnsRefused, BadPolicy."""
    renderer = renderer_of(policy)
    ids = renderer.ids(turns) if renderer else None
    return PolicyPrompt(list(turns), ids, count(turns, None) if ids is None else len(ids))


def text(policy: Policy, raw: str) -> PolicyPrompt:
    """A text to be continued as it is; an empty one is the start of a document. Raises BadPolicy."""
    ids = [number for number, _ in spelled(policy, raw)]
    if renderer_of(policy) is None:
        return PolicyPrompt([], None, len(raw) // CHARACTERS_A_TOKEN + 1, text=raw)
    return PolicyPrompt([], ids, len(ids), text=raw)


def token_ids(policy: Policy, ids: Sequence[int]) -> PolicyPrompt:
    """Raises UnknownTokens on ids that the policy's vocabulary does not have, BadPolicy."""
    renderer = renderer_of(policy)
    if renderer is None:
        if not policy.is_scripted:
            raise UnknownTokens
        return PolicyPrompt([], None, len(ids), text=" ".join(map(str, ids)))
    known = renderer.tokenizer.get_vocab_size(with_added_tokens=True)
    if not all(0 <= number < known for number in ids):
        raise UnknownTokens(known)
    if not ids:
        return text(policy, "")
    return PolicyPrompt([], list(ids), len(ids), text=renderer.tokenizer.decode(list(ids), skip_special_tokens=False))


def spelled(policy: Policy, raw: str) -> list[tuple[int, str]]:
    """The ids of a raw text, each with what it adds to it; what begins a document adds nothing.

    Empty where the tokenizer is elsewhere. Raises BadPolicy.
    """
    renderer = renderer_of(policy)
    return [] if renderer is None else renderer.document(raw)


def within_context(policy: Policy, prompt: PolicyPrompt, parameters: Parameters, *, shrinks: bool) -> Parameters:
    """The parameters, if prompt and completion fit into the context. Raises ContextExceeded.

    `shrinks`: the request names no length, so the completion may be cut to what is left.
    """
    context = context_window(policy)
    room, wanted = context - prompt.tokens, parameters.max_completion_tokens
    if room < (1 if shrinks else wanted):
        param = "messages" if prompt.text is None else "prompt"
        raise ContextExceeded(context, prompt.tokens, 0 if shrinks else wanted, param)
    return replace(parameters, max_completion_tokens=min(wanted, room))
