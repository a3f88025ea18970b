"""Keeps ranking tasks in stock: prompts with K completions of the live policy.

Tasks are made one after the other and stored one by one, by one process at a time, while nobody chats: people come
first on the engine (chat.queue.people).
"""

import logging
import random
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from chat import policies, site_choices
from chat.completions.bulk import Completed, complete_each
from chat.completions.giving_way import NotWanted
from chat.engines.engine import Parameters
from chat.models import Policy
from chat.queue import people
from feedback import prompts as prompt_rows
from feedback import trainable
from feedback.judgements import blind_pairs, completion_sets, refill_lease
from feedback.judgements.refill_lease import Lease
from feedback.models import Prompt, RankingTask

log = logging.getLogger(__name__)

IDLE_S = 5.0
"""How long nobody was served before tasks are made. Whoever has just read a reply often asks again, and what has just
been begun for nobody would be in their way."""
SAMPLED_AGAIN = 2
"""How often completions that are alike, or cut at the maximum length, are replaced by others."""
LOOKED_AT = 20
"""Prompts that are tried for one that the policy can read whole."""
USELESS_IN_A_ROW = 3
"""Prompts whose completions were all alike, or cut, after which no further one is tried."""


@dataclass(frozen=True)
class Sampled:
    """The replies of a task to be, and how they were made."""

    replies: list[Completed]
    cut: int
    """Others that did not end by themselves."""
    sampling: Parameters
    system_prompt: str


def refill() -> int:
    """Makes the tasks that are missing, as far as people leave time; returns how many it made.

    Raises NoLivePolicy, EngineError; tasks that were made before the error stay.
    """
    _retire_forbidden()
    policy = policies.live()
    _retire_outdated(policy)
    if _missing(policy) <= 0 or people.idle_s() < IDLE_S:
        return 0
    with refill_lease.held() as lease:
        return _fill(policy, lease) if lease is not None else 0


def _missing(policy: Policy) -> int:
    return int(settings.FEEDBACK_TASK_STOCK) - ready(policy)


def ready(policy: Policy) -> int:
    """The number of open tasks that nobody skipped: a skipped one may suit others, but does not count as stock."""
    return RankingTask.objects.filter(
        policy=policy, state=RankingTask.State.OPEN, skips__isnull=True, blind_pair=None
    ).count()


def _fill(policy: Policy, lease: Lease) -> int:
    prompt_rows.take_from_conversations(max(0, _missing(policy)), policy)
    made = useless = 0
    sampling, system_prompt = completion_sets.parameters(), site_choices.system_prompt_for(policy)
    while useless < USELESS_IN_A_ROW and _missing(policy) > 0:
        prompt = _next_prompt(policy, sampling, system_prompt)
        if prompt is None:
            break
        try:
            made_now = _whole_completions(policy, prompt, sampling, system_prompt, lease)
        except NotWanted as reason:
            log.info("no further ranking tasks for now: %s", reason)
            break
        if len(made_now.replies) < 2:
            useless += 1
            continue
        if not _store(policy, prompt, made_now, lease):
            break
        made, useless = made + 1, 0
    if useless:
        log.warning("the completions of %s prompts were all alike, or cut: nothing to rank", useless)
    return made


def _whole_completions(
    policy: Policy, prompt: Prompt, sampling: Parameters, system_prompt: str, lease: Lease
) -> Sampled:
    """K completions that ended by themselves, fewer if the policy goes on to say the same or to be cut: nobody ranks
    a fragment.

    Raises NotWanted, EngineError.
    """
    wanted = int(settings.FEEDBACK_COMPLETIONS_PER_TASK)
    turns = prompt_rows.as_served(prompt, system_prompt)
    found: list[Completed] = []
    cut = 0
    for _ in range(1 + SAMPLED_AGAIN):
        if len(found) >= wanted:
            break
        lease.begin(len(found), wanted)
        for _index, more in complete_each(
            policy,
            [turns],
            n=wanted - len(found),
            parameters=sampling,
            on_progress=lease.note,
            look=lease.look,
            together=1,
            starts_engine=False,
        ):
            whole = completion_sets.whole(more)
            cut += len(more) - len(whole)
            found = completion_sets.without_doubles([*found, *whole])
    return Sampled(found[:wanted], cut, sampling, system_prompt)


@transaction.atomic
def _store(policy: Policy, prompt: Prompt, made: Sampled, lease: Lease) -> bool:
    """False if somebody else makes tasks by now, there are enough, or another policy is live."""
    if not lease.is_held() or _missing(policy) <= 0 or policies.live() != policy:
        return False
    rng = random.Random()
    if rng.random() < completion_sets.SHORT_SHARE:
        completion_sets.cut_one(made.replies, rng)
    completion_sets.add_tasks(
        policy, [prompt], [made.replies], made.sampling, RankingTask.State.OPEN, made.system_prompt, [made.cut]
    )
    return True


def _retire_forbidden() -> int:
    """Withdraws tasks whose prompt lost its consent or was hidden, or with a hidden completion, and what is left of
    rounds of comparisons that are over."""
    live = RankingTask.objects.filter(state__in=(RankingTask.State.OPEN, RankingTask.State.LEASED))
    forbidden = ~Q(prompt__in=trainable.prompts()) | Q(completions__hidden_at__isnull=False)
    return live.filter(forbidden | blind_pairs.left_over(timezone.now())).update(
        state=RankingTask.State.WITHDRAWN, leased_to=None, lease_until=None
    )


def _retire_outdated(policy: Policy) -> int:
    """Withdraws open tasks of policies that are no longer live: judgements should follow the live policy."""
    return (
        RankingTask.objects.filter(state=RankingTask.State.OPEN, blind_pair=None)
        .exclude(policy=policy)
        .update(state=RankingTask.State.WITHDRAWN)
    )


# --- which prompt is next -----------------------------------------------------------------------------------------


def _next_prompt(policy: Policy, sampling: Parameters, system_prompt: str) -> Prompt | None:
    """Of the split that is due, else of the other one; None if there is none that the policy can read whole."""
    due = _split_due(policy)
    for split in sorted(Prompt.Split.values, key=lambda split: split != due):
        for prompt in candidates().filter(split=split)[:LOOKED_AT]:
            if completion_sets.fits(policy, prompt, sampling, system_prompt):
                return prompt
    return None


def _split_due(policy: Policy) -> str:
    """Held out for the share that the settings name: rankings of held-out prompts are needed to judge what was
    learned, but train nothing."""
    tasks = RankingTask.objects.filter(policy=policy, blind_pair=None).exclude(state=RankingTask.State.WITHDRAWN)
    by_people = tasks.exclude(rankings__is_simulated=True)
    held_out = by_people.filter(prompt__split=Prompt.Split.HELD_OUT).count()
    due = int(settings.FEEDBACK_HELD_OUT_SHARE * (by_people.count() + 1) + 0.5)
    return Prompt.Split.HELD_OUT if held_out < due else Prompt.Split.TRAIN


def candidates() -> QuerySet[Prompt]:
    """The prompts judged least so far, of these first what people asked, then at random; none with a waiting task.

    No person's conversations fill more than half of the stock, since they may not judge the replies to their own.
    """
    waiting = RankingTask.objects.filter(state__in=(RankingTask.State.OPEN, RankingTask.State.LEASED))
    owners = waiting.filter(prompt__message__isnull=False).values_list("prompt__message__conversation__owner")
    share = (settings.FEEDBACK_TASK_STOCK + 1) // 2
    served = [owner for owner, _count in owners.annotate(count=Count("pk")).filter(count__gte=share)]
    return (
        trainable.prompts()
        .filter(language__in=settings.FEEDBACK_LANGUAGES)
        .exclude(pk__in=waiting.values("prompt"))
        .exclude(message__isnull=False, message__conversation__owner__in=served)
        .annotate(judged=Count("tasks", filter=Q(tasks__state=RankingTask.State.DONE)))
        .order_by("judged", "source", "?")
    )
