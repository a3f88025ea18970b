"""The one place where usage is written down: each thing once, with the prices of its moment."""

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
    """Adds a row unless `ref` has one; in the caller's transaction, with what it meters.

    `user`, `key`: primary keys. `names`: of the model, the policy's own first, then what its price may be found
    under: what it was asked for by, and the policy that it was made from.
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
