"""Collects the completions of a simulation and stores them set by set, so that a run that stopped is continued."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.utils import timezone

from chat.completions.bulk import Completed, complete_each
from chat.engines.engine import Parameters
from chat.errors import EngineError
from chat.models import Policy
from feedback.models import Prompt, UnjudgedSet
from feedback.prompts import as_served

KEPT = timedelta(days=7)
"""How long the sets of a simulation that was never continued are kept."""


class CollectionStopped(Exception):
    """The engine failed again and again. What is finished is stored, and the same command goes on from there."""

    def __init__(self, done: int, of: int, cause: EngineError) -> None:
        super().__init__(
            f"{cause}; {done} of {of} sets of completions are stored: the same command goes on from there"
        )
        self.code = cause.code
        self.done, self.of = done, of


def collect(
    policy: Policy,
    prompts: Sequence[Prompt],
    n: int,
    sampling: Parameters,
    on_progress: Callable[[int, int], None] | None = None,
    system_prompt: str = "",
) -> list[list[Completed]]:
    """`n` completions of each prompt, in order, without those that a former run has stored.

    What failed is tried once more for as long as other prompts succeed. Raises CollectionStopped, TooLong, BadPolicy.
    """
    key = _key(policy, prompts, n, sampling, system_prompt)
    UnjudgedSet.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    while missing := _missing(key, len(prompts)):
        before = len(prompts) - len(missing)
        try:
            for index, replies in complete_each(
                policy,
                [as_served(prompts[number], system_prompt) for number in missing],
                n=n,
                parameters=sampling,
                numbers=missing,
                on_progress=_counted_from(before * n, len(prompts) * n, on_progress),
            ):
                _store(key, missing[index], prompts[missing[index]], replies)
        except EngineError as error:
            done = len(prompts) - len(_missing(key, len(prompts)))
            if done == before:
                raise CollectionStopped(done, len(prompts), error) from error
    rows = UnjudgedSet.objects.filter(simulation=key).order_by("number").values_list("completions", flat=True)
    return [[Completed(**completion) for completion in row] for row in rows]


def forget(policy: Policy, prompts: Sequence[Prompt], n: int, sampling: Parameters, system_prompt: str = "") -> None:
    """Once the sets are judged."""
    UnjudgedSet.objects.filter(simulation=_key(policy, prompts, n, sampling, system_prompt)).delete()


def _key(policy: Policy, prompts: Sequence[Prompt], n: int, sampling: Parameters, system_prompt: str) -> str:
    depends_on: list[Any] = [policy.pk, [prompt.pk for prompt in prompts], n, sampling.to_json(), system_prompt]
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def _missing(key: str, count: int) -> list[int]:
    stored = set(UnjudgedSet.objects.filter(simulation=key).values_list("number", flat=True))
    return [number for number in range(count) if number not in stored]


def _store(key: str, number: int, prompt: Prompt, replies: Sequence[Completed]) -> None:
    completions = [asdict(reply) for reply in replies]
    UnjudgedSet.objects.get_or_create(
        simulation=key, number=number, defaults={"prompt": prompt, "completions": completions}
    )


def _counted_from(
    start: int, of: int, on_progress: Callable[[int, int], None] | None
) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    return lambda done, _of: on_progress(start + done, of)
