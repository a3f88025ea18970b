"""Records usage: one row per reply, API request or training, with the prices that applied at that time."""

from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from metering import prices
from metering.models import Usage


def record(
    ref: str,
    *,
    user: int,
    kind: Usage.Kind,
    names: Sequence[str],
    key: int | None = None,
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    trained_tokens: int = 0,
    at: datetime | None = None,
) -> None:
    """Adds a row unless there is one with this `ref`. Call it in the transaction that stores what is metered.

    `user`, `key`: primary keys. `names`: the policy's name first, then other names under which its price may be
    listed: the name in the request, and the policy that it was fine-tuned from.
    """
    price = prices.price_of(names)
    tokens = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "trained_tokens": trained_tokens,
    }
    row = Usage(
        ref=ref,
        at=at or timezone.now(),
        user_id=user,
        key_id=key,
        kind=kind,
        model=names[0],
        **tokens,
        priced_as=price.model,
        prompt_price=price.prompt,
        completion_price=price.completion,
        training_price=price.training,
        cost=prices.cost(price, **tokens),
    )
    Usage.objects.bulk_create([row], ignore_conflicts=True)
