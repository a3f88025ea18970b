"""Sets of completions to be ranked: how they are sampled, no two alike, and now and then one that is cut short."""

import random
from collections.abc import Sequence

from django.conf import settings

from chat.completions.bulk import Completed
from chat.engines.engine import Parameters
from chat.errors import TooLong
from chat.models import Policy
from chat.prompts.history import prompt_for
from feedback.models import Completion, Prompt, RankingTask

SHORT_SHARE = 0.1
"""Share of tasks in which one completion is cut after a few words, or to nothing. A reward model that never saw
replies so short scores them highly, and the policy that it trains ends up saying nothing."""
MAX_WORDS_OF_A_CUT = 4
TEMPERATURE = 0.7
"""Where the chat always takes the most probable token: all completions would be the same."""


class CutCompletion(Completed):
    """A completion that was shortened on purpose; it counts as finished."""


def parameters(seed: int | None = None, max_tokens: int | None = None) -> Parameters:
    return Parameters(
        temperature=settings.CHAT_TEMPERATURE or TEMPERATURE,
        max_completion_tokens=max_tokens or settings.FEEDBACK_COMPLETION_TOKENS,
        seed=seed,
    )


def fits(policy: Policy, prompt: Prompt, sampling: Parameters) -> bool:
    """Whether the policy reads the whole prompt. One that was stored for a longer context would lose its first turns,
    and annotators would judge the replies by turns that the policy never saw."""
    try:
        return prompt_for(policy, prompt.messages, sampling.max_completion_tokens).dropped == 0
    except TooLong:
        return False


def without_doubles(replies: Sequence[Completed]) -> list[Completed]:
    """The first of each text: a pair of equal completions teaches nothing, whichever is preferred."""
    found: dict[str, Completed] = {}
    for reply in replies:
        found.setdefault(" ".join(reply.text.split()), reply)
    return list(found.values())


def with_short_replies(
    sets: Sequence[Sequence[Completed]], share: float, rng: random.Random
) -> list[list[Completed]]:
    """The same with one completion cut short in about `share` of the sets."""
    result = [list(replies) for replies in sets]
    for replies in rng.sample(result, round(share * len(result))):
        cut_one(replies, rng)
    return result


def cut_one(replies: list[Completed], rng: random.Random) -> None:
    index = rng.randrange(len(replies))
    words = replies[index].text.split()[: rng.randint(0, MAX_WORDS_OF_A_CUT)]
    replies[index] = CutCompletion(" ".join(words), "stop", replies[index].prompt_tokens, len(words))


def add_tasks(
    policy: Policy,
    prompts: Sequence[Prompt],
    sets: Sequence[Sequence[Completed]],
    sampling: Parameters,
    state: str,
) -> list[RankingTask]:
    """Adds tasks with their completions."""
    tasks = RankingTask.objects.bulk_create(
        RankingTask(prompt=prompt, policy=policy, state=state) for prompt in prompts
    )
    Completion.objects.bulk_create(
        Completion(
            task=task,
            index=index,
            text=reply.text,
            finish_reason=reply.finish_reason,
            parameters={**sampling.to_json(), **({"cut": True} if isinstance(reply, CutCompletion) else {})},
        )
        for task, replies in zip(tasks, sets, strict=True)
        for index, reply in enumerate(replies)
    )
    return tasks
