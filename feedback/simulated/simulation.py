"""Runs a simulation: completions of the live policy are ranked and flagged by a hidden preference."""

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from accounts.models import User
from chat import policies, site_choices
from chat.engines.engine import MAX_SEED, Parameters
from chat.models import Policy
from feedback import rules, seed, trainable
from feedback.judgements import completion_sets
from feedback.models import Completion, Prompt, Ranking, RankingTask, RuleVersion, SimulatedAnnotator, Violation
from feedback.preferences import PREFERENCES, dotted
from feedback.simulated import collecting
from feedback.simulated.cases import Case, SimulationPlan, Tally, cases_of, judge
from feedback.simulated.judgement_rows import flags_of, ranking_of

ROWS_AT_A_TIME = 25
"""Rankings per transaction, so that people who use the site meanwhile never wait long for the database."""


class NothingToSimulate(Exception):
    """No ranking was asked for, or there is no prompt to rank replies to."""

    code = "nothing_to_do"


class UnknownRule(ValueError):
    """A violation test for a rule that the site does not have."""

    code = "unknown_rule"

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(f"no rule has the key {key!r}; the keys are {', '.join(known)}")
        self.key, self.known = key, known


def simulate(
    plan: SimulationPlan, on_progress: Callable[[int, int], None] | None = None, *, only_collects: bool = False
) -> dict[str, Any]:
    """Raises NothingToSimulate, BadFunction, UnknownRule, NoLivePolicy, CollectionStopped.

    Completions are stored as they are made; called again with the same plan, it goes on from there. They are judged
    once all are there, since the share of mistakes is one of the whole; stopped meanwhile, it leaves whole rankings.
    `only_collects`: it stops before, and copies of this state judge what is there by preferences of their own.
    """
    seed.load()
    versions = rule_versions(plan.flags)
    judge_of = cases_of(plan)  # a bad path is found before the long part
    policy = policies.live()
    rng = random.Random(plan.seed)
    prompts = _chosen_prompts(plan, rng)
    sampling = completion_sets.parameters(rng.randrange(MAX_SEED), plan.max_tokens)
    n = settings.FEEDBACK_COMPLETIONS_PER_TASK
    system_prompt = site_choices.system_prompt_for(policy)
    collected = collecting.collect(policy, prompts, n, sampling, on_progress, system_prompt)
    if only_collects:
        return {"policy": policy.name, "sets": len(collected)}
    wholes = [completion_sets.whole(replies) for replies in collected]
    cut = [len(replies) - len(whole) for replies, whole in zip(collected, wholes, strict=True)]
    sets = [completion_sets.without_doubles(replies) for replies in wholes]
    tally = Tally(
        policy=policy.name,
        preference=plan.preference,
        seed=plan.seed,
        merged_replies=sum(map(len, wholes)) - sum(map(len, sets)),
        left_out_replies=sum(cut),
    )
    kept = [index for index, replies in enumerate(sets) if replies]
    shortened = completion_sets.with_short_replies([sets[index] for index in kept], plan.short_share, rng)
    cases = judge_of([prompts[index] for index in kept], shortened, [cut[index] for index in kept])
    for split in Prompt.Split.values:
        judge([case for case in cases if case.prompt.split == split], plan, split, rng, tally)
    annotator = annotator_of(plan)
    for start in range(0, len(cases), ROWS_AT_A_TIME):
        _write(cases[start : start + ROWS_AT_A_TIME], policy, annotator, versions, (sampling, system_prompt), rng)
    collecting.forget(policy, prompts, n, sampling, system_prompt)
    return {"annotator": annotator.username, **tally.as_json()}


def rule_versions(flags: Mapping[str, str]) -> dict[str, RuleVersion]:
    current = {version.rule.key: version for version in rules.current(only_on=False)}
    for key in flags:
        if key not in current:
            raise UnknownRule(key, list(current))
    return {key: current[key] for key in flags}


def _chosen_prompts(plan: SimulationPlan, rng: random.Random) -> list[Prompt]:
    """`plan.rankings` prompts, the planned share of them held out; none repeats before its split is used up."""
    if plan.rankings <= 0:
        raise NothingToSimulate("nothing to do: --rankings must be at least 1")
    held_out = round(plan.rankings * plan.held_out_share)
    chosen: list[Prompt] = []
    for split, count in ((Prompt.Split.TRAIN, plan.rankings - held_out), (Prompt.Split.HELD_OUT, held_out)):
        prompts = trainable.prompts().filter(split=split, language__in=settings.FEEDBACK_LANGUAGES)
        of_split = list(prompts.order_by("id"))
        if count and not of_split:
            raise NothingToSimulate(f"there are no prompts in the split {split}")
        rng.shuffle(of_split)
        chosen += islice(cycle(of_split), count)
    return chosen


@transaction.atomic
def _write(
    cases: Sequence[Case],
    policy: Policy,
    annotator: User,
    versions: Mapping[str, RuleVersion],
    made_with: tuple[Parameters, str],
    rng: random.Random,
) -> None:
    """`made_with`: sampling parameters and the site's own instructions."""
    sampling, system_prompt = made_with
    tasks = completion_sets.add_tasks(
        policy,
        [case.prompt for case in cases],
        [case.replies for case in cases],
        sampling,
        RankingTask.State.DONE,
        system_prompt,
        [case.cut for case in cases],
    )
    ids: dict[int, list[int]] = {task.pk: [] for task in tasks}
    for task_id, pk in Completion.objects.filter(task__in=tasks).order_by("index").values_list("task_id", "pk"):
        ids[task_id].append(pk)
    rankings = Ranking.objects.bulk_create(
        ranking_of(task, case, ids[task.pk], annotator, rng) for task, case in zip(tasks, cases, strict=True)
    )
    Violation.objects.bulk_create(
        flag
        for made, case in zip(rankings, cases, strict=True)
        for flag in flags_of(made, case, ids[made.task_id], versions)
    )


@transaction.atomic
def annotator_of(plan: SimulationPlan) -> User:
    """The account of this preference, flags, noise and seed; made if it does not exist."""
    identity = {
        "preference": _dotted_preference(plan.preference),
        "flags": dict(plan.flags),
        "noise": plan.noise,
        "held_out_noise": plan.noise_on(Prompt.Split.HELD_OUT),
        "tie_margin": plan.tie_margin,
        "seed": plan.seed if plan.person is None else plan.person,
    }
    known = SimulatedAnnotator.objects.filter(**identity).select_related("user").first()
    if known:
        return known.user
    number = (SimulatedAnnotator.objects.aggregate(last=Max("pk"))["last"] or 0) + 1
    user = User(username=f"simulated-{number}", is_simulated=True)
    user.set_unusable_password()
    user.save()
    SimulatedAnnotator.objects.create(user=user, **identity)
    return user


def _dotted_preference(spelling: str) -> str:
    return dotted(PREFERENCES[spelling]) if spelling in PREFERENCES else spelling
