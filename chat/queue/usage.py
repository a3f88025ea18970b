"""What the ledger is told of completions: whose, of which model, and how many tokens, counted by its tokenizer."""

from collections.abc import Sequence

from chat.errors import BadPolicy
from chat.models import Policy, Reply, Ticket
from chat.prompts.fitting import CHARACTERS_A_TOKEN
from chat.prompts.history import renderer_of
from metering import ledger
from metering.models import Usage

LONGEST_LINEAGE = 16
"""Policies of which each was trained from the next; a longer one is priced as its newest."""


def reply(row: Reply, text: str, told: int) -> int:
    """Writes down an ended reply, once, and gives back the tokens of its completion.

    `text` is all of the reply, `told` what its engine counted. In the transaction that ends it.
    """
    assert row.policy is not None
    counted = completion_tokens(row.policy, text.removeprefix(row.prefix), row.finish_reason, told)
    ledger.record(
        f"reply:{row.pk}",
        user=row.message.conversation.owner_id,
        kind=Usage.Kind.CHAT,
        names=names_of(row.policy),
        prompt_tokens=row.prompt_tokens,
        completion_tokens=counted,
    )
    return counted


def ticket(row: Ticket, names: Sequence[str] = ()) -> None:
    """Writes down an ended ticket, once; `names`: what its model was asked for by."""
    assert row.policy is not None
    outside(f"ticket:{row.pk}", row.user_id, row.key_id, row.policy, names, row.prompt_tokens, row.completion_tokens)


def outside(
    ref: str,
    user: int,
    key: int | None,
    policy: Policy,
    names: Sequence[str],
    prompt_tokens: int,
    completion_tokens: int = 0,
) -> None:
    """Writes down what a request from outside used."""
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
    """Under which names a price may stand: the policy's own, what was asked for, then what it was made from."""
    names, base = [policy.name, *asked, policy.label], policy.base
    for _ in range(LONGEST_LINEAGE):
        if base is None:
            break
        names += [base.name, base.label]
        base = base.base
    return [name for name in dict.fromkeys(names) if name]


def completion_tokens(policy: Policy, text: str, finish_reason: str, told: int) -> int:
    """Tokens of a completion as far as it was kept.

    Engines count what they made: the end of text that nobody is shown, and the words of a stop string that were
    taken away. So the text is counted by the policy's tokenizer. Where a completion ended for its length it holds
    exactly what the engine made, whose count then stands; so it does where the tokenizer is elsewhere.
    """
    counted = exact_tokens(policy, text)
    if told and (counted is None or finish_reason == "length"):
        return told
    return _guessed_tokens(text) if counted is None else counted


def exact_tokens(policy: Policy, text: str) -> int | None:
    """None where the policy's tokenizer is not here."""
    if policy.is_scripted:  # it says words
        return len(text.lstrip(" ").split(" ")) if text else 0
    try:
        renderer = renderer_of(policy)
    except BadPolicy:  # its files are gone: whatever ends has to end all the same
        return None
    return None if renderer is None else len(renderer.continuation(text))


def _guessed_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)
