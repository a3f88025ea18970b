"""Simulated annotators: real completions of the live policy, ranked and flagged by a stated hidden preference."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from accounts.models import User
from chat import policies
from chat.completions import Completed, complete
from chat.engines.engine import MAX_SEED, Parameters
from chat.models import Policy
from feedback import judging, ranking, rules, seed, stock, trainable
from feedback.models import Completion, Prompt, Ranking, RankingTask, RuleVersion, SimulatedAnnotator, Violation
from feedback.preferences import (
    DEFAULT_FLAGS,
    DEFAULT_PREFERENCE,
    PREFERENCES,
    dotted,
    preference,
    violation_test,
)
from feedback.prompts import last_user_message

ROWS_AT_A_TIME = 25
"""Rankings a transaction, so that people who use the site meanwhile never wait long for the database."""


class NothingToSimulate(Exception):
    """No ranking was asked for, or there is no prompt to rank replies to."""

    code = "nothing_to_do"


class UnknownRule(ValueError):
    """A violation test for a rule that the site does not have."""

    code = "unknown_rule"

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(f"no rule has the key {key!r}; the keys are {', '.join(known)}")
        self.key, self.known = key, known


@dataclass(frozen=True)
class Plan:
    """What to simulate. Shares are from 0 to 1, noise is below 0.5."""

    rankings: int
    preference: str = DEFAULT_PREFERENCE
    flags: Mapping[str, str] = field(default_factory=lambda: {key: dotted(f) for key, f in DEFAULT_FLAGS.items()})
    """{rule key: dotted path}."""
    noise: float = 0.1
    held_out_noise: float | None = None
    """None: as `noise`. 0 measures the reward model against the preference itself."""
    seed: int = 0
    held_out_share: float = 0.25
    short_share: float = stock.SHORT_SHARE
    tie_margin: float = 0.25

    def noise_on(self, split: str) -> float:
        is_exact = self.held_out_noise is not None and split == Prompt.Split.HELD_OUT
        return float(self.held_out_noise or 0) if is_exact else self.noise


@dataclass
class Case:
    """A prompt with its completions, and what the annotator says of them."""

    prompt: Prompt
    replies: list[Completed]
    scores: list[float]
    gold: dict[str, list[bool]]
    """Of each rule, the test's verdict on each completion."""
    ranks: list[int] = field(default_factory=list)
    flags: dict[str, list[bool]] = field(default_factory=dict)
    """`gold` with its share of mistakes."""


@dataclass
class Tally:
    """What came of it, in the words of the command's JSON."""

    policy: str
    preference: str
    seed: int
    rankings: dict[str, int] = field(default_factory=dict)
    """By split."""
    decided: int = 0
    """Pairs whose scores differ and whose ranks do too: those that can be right or wrong."""
    wrong: int = 0
    comparisons: int = 0
    """Pairs without a tie."""
    ties: int = 0
    flags: int = 0
    flags_true: int = 0
    flags_wrong: int = 0
    short_replies: int = 0

    def add(self, cases: Sequence[Case], split: str, judged: judging.Judged) -> None:
        self.rankings[split] = len(cases)
        self.decided += judged.decided
        self.wrong += judged.wrong
        for case in cases:
            compared = len(ranking.pairs({str(index): rank for index, rank in enumerate(case.ranks)}))
            self.comparisons += compared
            self.ties += math.comb(len(case.ranks), 2) - compared
            self.short_replies += sum(isinstance(reply, stock.Cut) for reply in case.replies)
            for key, labels in case.flags.items():
                self.flags += len(labels)
                self.flags_true += sum(labels)
                self.flags_wrong += sum(label != true for label, true in zip(labels, case.gold[key], strict=True))

    def as_json(self) -> dict[str, Any]:
        return {
            "simulated": True,
            "policy": self.policy,
            "preference": self.preference,
            "seed": self.seed,
            "rankings": sum(self.rankings.values()),
            "rankings_by_split": self.rankings,
            "comparisons": self.comparisons,
            "ties": self.ties,
            "flags": self.flags,
            "flags_true": self.flags_true,
            "short_replies": self.short_replies,
            "noise_pairs": round(self.wrong / self.decided, 4) if self.decided else 0.0,
            "noise_flags": round(self.flags_wrong / self.flags, 4) if self.flags else 0.0,
        }


def simulate(plan: Plan, on_progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Raises NothingToSimulate, BadFunction, UnknownRule, NoLivePolicy, EngineError. Writes nothing but seeds until
    all completions are there; stopped while it writes, it leaves whole rankings."""
    seed.load()
    versions = rule_versions(plan.flags)
    judge_of = cases_of(plan)  # a bad path is found before the long part
    policy = policies.live()
    rng = random.Random(plan.seed)
    prompts = chosen_prompts(plan, rng)
    sampling = stock.parameters(rng.randrange(MAX_SEED))
    sets = complete(
        policy,
        [prompt.messages for prompt in prompts],
        n=settings.FEEDBACK_COMPLETIONS_PER_TASK,
        parameters=sampling,
        on_progress=on_progress,
    )
    cases = judge_of(prompts, stock.with_short_replies(sets, plan.short_share, rng))
    tally = Tally(policy=policy.name, preference=plan.preference, seed=plan.seed)
    for split in Prompt.Split.values:
        judge([case for case in cases if case.prompt.split == split], plan, split, rng, tally)
    annotator = annotator_of(plan)
    for start in range(0, len(cases), ROWS_AT_A_TIME):
        write(cases[start : start + ROWS_AT_A_TIME], policy, annotator, versions, sampling, rng)
    return {"annotator": annotator.username, **tally.as_json()}


def rule_versions(flags: Mapping[str, str]) -> dict[str, RuleVersion]:
    current = {version.rule.key: version for version in rules.current(only_on=False)}
    for key in flags:
        if key not in current:
            raise UnknownRule(key, list(current))
    return {key: current[key] for key in flags}


def cases_of(plan: Plan) -> Callable[[list[Prompt], list[list[Completed]]], list[Case]]:
    """Scores and tests completions by the plan's functions. Raises BadFunction at once where one does not exist."""
    prefer = preference(plan.preference)
    tests = {key: violation_test(path) for key, path in plan.flags.items()}

    def cases(prompts: list[Prompt], sets: list[list[Completed]]) -> list[Case]:
        found = []
        for prompt, replies in zip(prompts, sets, strict=True):
            asked = last_user_message(prompt)
            scores = [prefer(asked, reply.text) for reply in replies]
            gold = {key: [test(asked, reply.text) for reply in replies] for key, test in tests.items()}
            found.append(Case(prompt, replies, scores, gold))
        return found

    return cases


def chosen_prompts(plan: Plan, rng: random.Random) -> list[Prompt]:
    """`plan.rankings` prompts, the held-out share of them held out; each side is used up before one comes again."""
    if plan.rankings <= 0:
        raise NothingToSimulate("no ranking was asked for: --rankings must be at least 1")
    held_out = round(plan.rankings * plan.held_out_share)
    chosen: list[Prompt] = []
    for split, count in ((Prompt.Split.TRAIN, plan.rankings - held_out), (Prompt.Split.HELD_OUT, held_out)):
        prompts = trainable.prompts().filter(split=split, language__in=settings.FEEDBACK_LANGUAGES)
        of_split = list(prompts.order_by("id"))
        if count and not of_split:
            raise NothingToSimulate(f"there is no prompt in the split {split}")
        rng.shuffle(of_split)
        chosen += islice(cycle(of_split), count)
    return chosen


def judge(cases: list[Case], plan: Plan, split: str, rng: random.Random, tally: Tally) -> None:
    """Fills in ranks and flags, with the noise of their split."""
    noise = plan.noise_on(split)
    judged = judging.rank([case.scores for case in cases], noise, plan.tie_margin, rng)
    for case, ranks in zip(cases, judged.ranks, strict=True):
        case.ranks = ranks
    for key in plan.flags:
        labels = [label for case in cases for label in case.gold[key]]
        flagged = iter(judging.flip(labels, noise, rng))
        for case in cases:
            case.flags[key] = [next(flagged) for _reply in case.replies]
    tally.add(cases, split, judged)


@transaction.atomic
def write(
    cases: Sequence[Case],
    policy: Policy,
    annotator: User,
    versions: Mapping[str, RuleVersion],
    sampling: Parameters,
    rng: random.Random,
) -> None:
    tasks = stock.add_tasks(
        policy, [case.prompt for case in cases], [case.replies for case in cases], sampling, RankingTask.State.DONE
    )
    ids: dict[int, list[int]] = {task.pk: [] for task in tasks}
    for task_id, pk in Completion.objects.filter(task__in=tasks).order_by("index").values_list("task_id", "pk"):
        ids[task_id].append(pk)
    rankings = Ranking.objects.bulk_create(
        Ranking(
            task=task,
            annotator=annotator,
            ranks={str(pk): rank for pk, rank in zip(ids[task.pk], case.ranks, strict=True)},
            shown_order=rng.sample(ids[task.pk], len(ids[task.pk])),
            is_simulated=True,
        )
        for task, case in zip(tasks, cases, strict=True)
    )
    Violation.objects.bulk_create(
        Violation(
            rule_version=versions[key],
            completion_id=pk,
            ranking=made,
            annotator=annotator,
            is_violation=label,
            is_simulated=True,
        )
        for made, case in zip(rankings, cases, strict=True)
        for key, labels in case.flags.items()
        for pk, label in zip(ids[made.task_id], labels, strict=True)
    )


@transaction.atomic
def annotator_of(plan: Plan) -> User:
    """The account of this preference, flags, noise and seed: the one that is there, else a new one."""
    identity = {
        "preference": dotted_preference(plan.preference),
        "flags": dict(plan.flags),
        "noise": plan.noise,
        "held_out_noise": plan.noise_on(Prompt.Split.HELD_OUT),
        "tie_margin": plan.tie_margin,
        "seed": plan.seed,
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


def dotted_preference(spelling: str) -> str:
    return dotted(PREFERENCES[spelling]) if spelling in PREFERENCES else spelling
