"""Records a completion's user, model and token counts, as the policy's tokenizer counts them, in the ledger."""

from collections.abc import Sequence

from chat.errors import BadPolicy
from chat.models import Policy, Reply, Ticket
from chat.prompts.fitting import CHARACTERS_A_TOKEN
from chat.prompts.history import renderer_of
from metering import ledger
from metering.models import Usage

LONGEST_LINEAGE = 16
"""Policies in a chain of bases that are looked through for a price."""


def record_reply(row: Reply, text: str, engine_tokens: int) -> int:
    """Records an ended reply once; returns the tokens of its completion.

    `text` is all of the reply, `engine_tokens` its engine's count. In the transaction that ends it.
    """
    assert row.policy is not None
    counted = completion_tokens(row.policy, text.removeprefix(row.prefix), row.finish_reason, engine_tokens)
    ledger.record(
        f"reply:{row.pk}",
        user=row.message.conversation.owner_id,
        kind=Usage.Kind.CHAT,
        names=names_of(row.policy),
        prompt_tokens=row.prompt_tokens,
        completion_tokens=counted,
    )
    return counted


def record_ticket(row: Ticket, names: Sequence[str] = ()) -> None:
    """Records an ended ticket once; `names`: those by which the request asked for its model."""
    assert row.policy is not None
    record_request(
        f"ticket:{row.pk}", row.user_id, row.key_id, row.policy, names, row.prompt_tokens, row.completion_tokens
    )


def record_request(
    ref: str,
    user: int,
    key: int | None,
    policy: Policy,
    names: Sequence[str],
    prompt_tokens: int,
    completion_tokens: int = 0,
) -> None:
    """Records what a program's request used."""
    ledger.record(
        ref,
        user=user,
        key=key,
        kind=Usage.Kind.API,
        names=names_of(policy, names),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def names_of(policy: Policy, asked: Sequence[str] = ()) -> list[str]:
    """Names under which a price is looked up: the policy's own, those asked for, then those of its bases."""
    names, base = [policy.name, *asked, policy.label], policy.base
    for _ in range(LONGEST_LINEAGE):
        if base is None:
            break
        names += [base.name, base.label]
        base = base.base
    return [name for name in dict.fromkeys(names) if name]


def completion_tokens(policy: Policy, text: str, finish_reason: str, engine_tokens: int) -> int:
    """Tokens of a completion as far as its text was stored.

    Engines also count what nobody gets: the end-of-text token, and the words of a stop string. So the text is counted
    by the policy's tokenizer. A completion that ended for its length is exactly what the engine generated: there the
    engine's count stands, as it does where the tokenizer is elsewhere.
    """
    counted = exact_tokens(policy, text)
    if engine_tokens and (counted is None or finish_reason == "length"):
        return engine_tokens
    return _guessed_tokens(text) if counted is None else counted


def exact_tokens(policy: Policy, text: str) -> int | None:
    """None where the policy's tokenizer is not here."""
    if policy.is_scripted:  # its tokens are words
        return len(text.lstrip(" ").split(" ")) if text else 0
    try:
        renderer = renderer_of(policy)
    except BadPolicy:  # its files are gone, and the reply has to end all the same
        return None
    return None if renderer is None else len(renderer.continuation(text))


def _guessed_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)
