"""Sets of completions to be ranked: how they are sampled, no two alike, and now and then one that is cut short."""

import random
from collections.abc import Sequence

from django.conf import settings

from chat.completions.bulk import Completed
from chat.engines.engine import Parameters
from chat.errors import TooLong
from chat.models import Policy
from chat.prompts.history import prompt_for
from feedback.models import Completion, Project, Prompt, RankingTask, site_project
from feedback.prompts import SYSTEM_PROMPT, as_served

SHORT_SHARE = 0.1
"""Share of tasks in which one completion is cut after a few words, or to nothing. A reward model that never saw
replies so short scores them highly, and the policy that it trains ends up saying nothing."""
MAX_WORDS_OF_A_CUT = 4
LEFT_OUT = "left_out"
"""Among the parameters of a completion: how many others of its task did not end and were not offered."""
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


def fits(policy: Policy, prompt: Prompt, sampling: Parameters, system_prompt: str) -> bool:
    """Whether the policy reads the whole prompt. One that was stored for a longer context would lose its first turns,
    and annotators would judge the replies by turns that the policy never saw."""
    try:
        turns = as_served(prompt, system_prompt)
        return prompt_for(policy, turns, sampling.max_completion_tokens).dropped == 0
    except TooLong:
        return False


def whole(replies: Sequence[Completed]) -> list[Completed]:
    """Those that ended by themselves, and not at the longest length: a fragment is not what people would get."""
    return [reply for reply in replies if settings.FEEDBACK_FRAGMENTS or reply.finish_reason != "length"]


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
    system_prompt: str = "",
    cut: Sequence[int] = (),
    project: Project | None = None,
) -> list[RankingTask]:
    """Adds tasks with their completions, which were made after the site's `system_prompt`. `cut`: of each set, how
    many others were left out because they did not end."""
    common = {**sampling.to_json(), **({SYSTEM_PROMPT: system_prompt} if system_prompt else {})}
    beside = [{LEFT_OUT: number} if number else {} for number in cut or [0] * len(sets)]
    of = project or Project.objects.get(pk=site_project())
    tasks = RankingTask.objects.bulk_create(
        RankingTask(
            prompt=prompt,
            policy=policy,
            state=state,
            project=of,
            overlap=of.overlap if state == RankingTask.State.OPEN else 1,
        )
        for prompt in prompts
    )
    Completion.objects.bulk_create(
        Completion(
            task=task,
            index=index,
            text=reply.text,
            finish_reason=reply.finish_reason,
            parameters={**common, **({"cut": True} if isinstance(reply, CutCompletion) else {}), **left_out},
        )
        for task, replies, left_out in zip(tasks, sets, beside, strict=True)
        for index, reply in enumerate(replies)
    )
    return tasks
