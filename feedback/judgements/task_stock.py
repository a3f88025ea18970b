"""Keeps ranking tasks in stock: prompts with K completions of the live policy."""

import random
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q

from chat import policies
from chat.completions.bulk import Completed, complete
from chat.engines.engine import Parameters
from chat.models import Policy
from feedback import prompts as prompt_rows
from feedback import trainable
from feedback.models import Completion, Prompt, RankingTask

SHORT_SHARE = 0.1
"""Share of tasks in which one completion is cut after a few words, or to nothing. A reward model that never saw
replies so short scores them highly, and the policy that it trains ends up saying nothing."""
MAX_WORDS_OF_A_CUT = 4


def parameters(seed: int | None = None) -> Parameters:
    return Parameters(
        temperature=settings.CHAT_TEMPERATURE,
        max_completion_tokens=settings.FEEDBACK_COMPLETION_TOKENS,
        seed=seed,
    )


def refill() -> int:
    """Makes the tasks that are missing; returns how many. Raises NoLivePolicy, EngineError."""
    _retire_forbidden()
    policy = policies.live()
    _retire_outdated(policy)
    missing = settings.FEEDBACK_TASK_STOCK - _ready(policy)
    if missing <= 0:
        return 0
    prompt_rows.take_from_conversations(missing, policy)
    prompts = next_prompts(missing)
    sampling = parameters()
    completed = complete(
        policy,
        [prompt.messages for prompt in prompts],
        n=settings.FEEDBACK_COMPLETIONS_PER_TASK,
        parameters=sampling,
    )
    completed = with_short_replies(completed, SHORT_SHARE, random.Random())
    with transaction.atomic():
        return len(add_tasks(policy, prompts, completed, sampling, RankingTask.State.OPEN))


def _ready(policy: Policy) -> int:
    """The number of open tasks that nobody skipped: a skipped one may suit others, but does not count as stock."""
    return RankingTask.objects.filter(policy=policy, state=RankingTask.State.OPEN, skips__isnull=True).count()


def _retire_forbidden() -> int:
    """Withdraws tasks whose prompt lost its consent or was hidden, or with a hidden completion."""
    live = RankingTask.objects.filter(state__in=(RankingTask.State.OPEN, RankingTask.State.LEASED))
    return live.filter(~Q(prompt__in=trainable.prompts()) | Q(completions__hidden_at__isnull=False)).update(
        state=RankingTask.State.WITHDRAWN, leased_to=None, lease_until=None
    )


def _retire_outdated(policy: Policy) -> int:
    """Withdraws open tasks of policies that are no longer live: judgements should follow the live policy."""
    return (
        RankingTask.objects.filter(state=RankingTask.State.OPEN)
        .exclude(policy=policy)
        .update(state=RankingTask.State.WITHDRAWN)
    )


def next_prompts(count: int) -> list[Prompt]:
    """The prompts judged least so far, of these first what people asked, then at random; none with a waiting task."""
    waiting = RankingTask.objects.filter(state__in=(RankingTask.State.OPEN, RankingTask.State.LEASED))
    return list(
        trainable.prompts()
        .filter(language__in=settings.FEEDBACK_LANGUAGES)
        .exclude(pk__in=waiting.values("prompt"))
        .annotate(judged=Count("tasks", filter=Q(tasks__state=RankingTask.State.DONE)))
        .order_by("judged", "source", "?")[:count]
    )


def with_short_replies(
    completed: Sequence[Sequence[Completed]], share: float, rng: random.Random
) -> list[list[Completed]]:
    """The same with one completion cut short in about `share` of the sets."""
    result = [list(replies) for replies in completed]
    for replies in rng.sample(result, round(share * len(result))):
        index = rng.randrange(len(replies))
        replies[index] = _cut(replies[index], rng)
    return result


class CutCompletion(Completed):
    """A completion that was shortened on purpose; it counts as finished."""


def _cut(reply: Completed, rng: random.Random) -> CutCompletion:
    words = reply.text.split()[: rng.randint(0, MAX_WORDS_OF_A_CUT)]
    return CutCompletion(" ".join(words), "stop", reply.prompt_tokens, len(words))


def add_tasks(
    policy: Policy,
    prompts: Sequence[Prompt],
    completed: Sequence[Sequence[Completed]],
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
        for task, replies in zip(tasks, completed, strict=True)
        for index, reply in enumerate(replies)
    )
    return tasks
