"""Keeps ranking tasks in stock: prompts with K completions of the live policy, or of the one that a project names.

Tasks are made one after the other and stored one by one, by one process at a time, while nobody chats: people come
first on the engine (chat.queue.people).
"""

import logging
import random
from collections.abc import Collection
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
from feedback.judgements import assignments, blind_pairs, completion_sets, refill_lease
from feedback.judgements.refill_lease import Lease
from feedback.models import Project, Prompt, RankingTask
from feedback.projects import stock
from feedback.projects.stock import Need
from feedback.questions.kinds import KINDS

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
    if not _missing(policy) or people.idle_s() < IDLE_S:
        return 0
    with refill_lease.held() as lease:
        return sum(_fill(need, lease) for need in _missing(policy)) if lease is not None else 0


def _missing(live: Policy) -> list[Need]:
    return [need for need in stock.needs(live) if need.missing() > 0]


def ready(policy: Policy) -> int:
    """Of the site's own stream."""
    return stock.of_site(policy).ready()


def _fill(need: Need, lease: Lease) -> int:
    policy = need.policy
    if need.project.is_site:
        prompt_rows.take_from_conversations(max(0, need.missing()), policy)
    made = useless = 0
    sampling, system_prompt = completion_sets.parameters(), site_choices.system_prompt_for(policy)
    unfit: set[int] = set()
    while useless < USELESS_IN_A_ROW and need.missing() > 0:
        prompt = _next_prompt(need, sampling, system_prompt, unfit)
        if prompt is None:
            break
        try:
            made_now = _whole_completions(need, prompt, sampling, system_prompt, lease)
        except NotWanted as reason:
            log.info("no further ranking tasks for now: %s", reason)
            break
        if len(made_now.replies) < KINDS[need.project.question].least:
            useless += 1
            unfit.add(prompt.pk)
            continue
        if not _store(need, prompt, made_now, lease):
            break
        made, useless = made + 1, 0
    if useless:
        log.warning("the completions of %s prompts were all alike, or cut: nothing to rank", useless)
    return made


def _whole_completions(need: Need, prompt: Prompt, sampling: Parameters, system_prompt: str, lease: Lease) -> Sampled:
    """K completions that ended by themselves, fewer if the policy goes on to say the same or to be cut: nobody ranks
    a fragment.

    Raises NotWanted, EngineError.
    """
    wanted, policy = need.completions, need.policy
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
            starts_engine=not policy.is_live,  # none waits for people who chat with another policy
        ):
            whole = completion_sets.whole(more)
            cut += len(more) - len(whole)
            found = completion_sets.without_doubles([*found, *whole])
    return Sampled(found[:wanted], cut, sampling, system_prompt)


@transaction.atomic
def _store(need: Need, prompt: Prompt, made: Sampled, lease: Lease) -> bool:
    """False if somebody else makes tasks by now, there are enough, the project was stopped, or another policy is
    live."""
    if not lease.is_held() or need not in _missing(policies.live()):
        return False
    rng = random.Random()
    is_order = KINDS[need.project.question].is_order  # nobody corrects or grades what nobody would be sent
    if is_order and rng.random() < completion_sets.SHORT_SHARE:
        completion_sets.cut_one(made.replies, rng)
    completion_sets.add_tasks(
        need.policy,
        [prompt],
        [made.replies],
        made.sampling,
        RankingTask.State.OPEN,
        made.system_prompt,
        [made.cut],
        need.project,
    )
    return True


def _retire_forbidden() -> int:
    """Withdraws tasks whose prompt lost its consent or was hidden, or with a hidden completion, and what is left of
    rounds of comparisons that are over."""
    forbidden = ~Q(prompt__in=trainable.prompts()) | Q(completions__hidden_at__isnull=False)
    return assignments.drop_all(RankingTask.objects.filter(forbidden | blind_pairs.left_over(timezone.now())))


def _retire_outdated(policy: Policy) -> int:
    """Withdraws open tasks of policies that are no longer live, where the live one writes the replies: judgements
    should follow it. What somebody has judged already gets the judgements that it lacks."""
    followers = RankingTask.objects.filter(project__replies=Project.Replies.LIVE, judgements=0)
    return (
        followers.filter(state=RankingTask.State.OPEN, blind_pair=None, probe=None)
        .exclude(policy=policy)
        .update(state=RankingTask.State.WITHDRAWN)
    )


# --- which prompt is next -----------------------------------------------------------------------------------------


def _next_prompt(need: Need, sampling: Parameters, system_prompt: str, unfit: Collection[int]) -> Prompt | None:
    """None if there is none that the policy can read whole. `unfit`: ids of those that were tried in vain."""
    for prompts in _next_prompts(need):
        for prompt in prompts.exclude(pk__in=unfit)[:LOOKED_AT]:
            if completion_sets.fits(need.policy, prompt, sampling, system_prompt):
                return prompt
    return None


def _next_prompts(need: Need) -> list[QuerySet[Prompt]]:
    """Of the site's own stream: those of the split that is due, then those of the other one."""
    if not need.project.is_site:
        return [stock.next_prompts(need.project)]
    due = _split_due(need)
    return [candidates().filter(split=split) for split in sorted(Prompt.Split.values, key=lambda one: one != due)]


def _split_due(need: Need) -> str:
    """Held out for the share that the settings name: rankings of held-out prompts are needed to judge what was
    learned, but train nothing."""
    made = RankingTask.objects.filter(project=need.project, policy=need.policy, blind_pair=None, probe=None)
    tasks = made.exclude(state=RankingTask.State.WITHDRAWN)
    by_people = tasks.exclude(rankings__is_simulated=True)
    held_out = by_people.filter(prompt__split=Prompt.Split.HELD_OUT).count()
    due = int(settings.FEEDBACK_HELD_OUT_SHARE * (by_people.count() + 1) + 0.5)
    return Prompt.Split.HELD_OUT if held_out < due else Prompt.Split.TRAIN


def candidates() -> QuerySet[Prompt]:
    """The prompts judged least so far, without those of projects; first what people asked, then at random. None
    with a waiting task.

    No person's conversations fill more than half of the stock, since they may not judge the replies to their own.
    """
    waiting = RankingTask.objects.filter(state__in=(RankingTask.State.OPEN, RankingTask.State.LEASED))
    owners = waiting.filter(prompt__message__isnull=False).values_list("prompt__message__conversation__owner")
    share = (settings.FEEDBACK_TASK_STOCK + 1) // 2
    served = [owner for owner, _count in owners.annotate(count=Count("pk")).filter(count__gte=share)]
    return (
        trainable.prompts()
        .filter(language__in=settings.FEEDBACK_LANGUAGES)
        .exclude(source=Prompt.Source.PROJECT)
        .exclude(pk__in=waiting.values("prompt"))
        .exclude(message__isnull=False, message__conversation__owner__in=served)
        .annotate(judged=Count("tasks", filter=Q(tasks__state=RankingTask.State.DONE)))
        .order_by("judged", "source", "?")
    )
