"""The rounds of a simulated site: everybody judges, then a cycle runs; what is done is kept, so that it goes on."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from base.commands import Exit
from chat import policies
from chat.models import Policy
from config.simulated_site import gold
from config.simulated_site.people import Population, SimulatedPerson, honest_tastes, populate
from feedback.simulated.simulation import simulate
from rlhf.errors import CycleUnderWay
from rlhf.lineage import lineage
from rlhf.models import Run

FILE = "simulated-site.json"
SEEDS_A_ROUND = 1000
Progress = Callable[[int, int], None]


class OtherSimulation(Exception):
    code = "other_simulation"

    def __init__(self, home: Path) -> None:
        super().__init__(f"{home} holds a simulation of other people: omit --again, or give the options of then")


@dataclass(frozen=True)
class Rules:
    """How a round goes. `cycle_arguments`: given to `run_cycle` as they are."""

    rankings: int
    held_out_share: float
    gold_prompts: int
    max_tokens: int | None
    cycle_arguments: tuple[str, ...] = ()


class SimulatedSite:
    """One home with its people. Its file says who has judged in which round, and what came of each cycle."""

    def __init__(self, home: Path, population: Population, rules: Rules) -> None:
        self.path, self.population, self.rules = home / FILE, population, rules
        self.people = populate(population)
        self.state: dict[str, Any] = {"population": self._identity(), "judged": [], "cycles": [], "replies": {}}
        if self.path.exists():
            self.state = json.loads(self.path.read_text())
            if self.state["population"] != self._identity():
                raise OtherSimulation(home)

    @property
    def cycles(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.state["cycles"]
        return found

    def judge(self, number: int, on_progress: Progress) -> None:
        """Everybody's judgements of round `number`, without those that are there."""
        for person in self.people:
            if [number, person.number] not in self.state["judged"]:
                self._judge(number, person, on_progress)

    def learn(self, number: int) -> dict[str, Any]:
        """A cycle, as the schedule would run it, and what the hidden tastes say of its policies."""
        ended = Run.objects.filter(
            kind=Run.Kind.CYCLE, state=Run.State.SUCCEEDED, config__seed=self._seed(number)
        ).first()  # where a kill came between the cycle and its figures
        before = ended.base_policy if ended is not None and ended.base_policy is not None else policies.live()
        result = ended.result if ended is not None else self._run_cycle(number)
        candidate = Policy.objects.filter(name=result.get("policy")).first()
        cycle = {
            "cycle": number,
            "live_before": before.name,
            "live_after": policies.live().name,
            **_figures(result),
            "gold": {
                "candidate": self._gold(candidate),
                "live_before": self._gold(before),
                "base": self._gold(lineage(before)[0]),
                "change": self._change(candidate, before),
            },
        }
        self.cycles.append(cycle)
        self._save()
        return cycle

    def _judge(self, number: int, person: SimulatedPerson, on_progress: Progress) -> None:
        rules = self.rules
        simulate(
            person.plan(
                rankings=rules.rankings,
                seed=self._seed(number) + person.number,
                held_out_share=rules.held_out_share,
                max_tokens=rules.max_tokens,
            ),
            on_progress=on_progress,
        )
        self.state["judged"].append([number, person.number])
        self._save()

    def _run_cycle(self, number: int) -> dict[str, Any]:
        """The result of `run_cycle`; with too little feedback {"error"}. Raises CommandError where it failed."""
        said = io.StringIO()
        seed = ("--seed", str(self._seed(number)))
        try:
            call_command("run_cycle", *seed, *self.rules.cycle_arguments, "--json", stdout=said)
        except CommandError as error:
            if error.returncode != Exit.NOTHING_TO_DO or CycleUnderWay.code in said.getvalue():
                raise
        found: dict[str, Any] = json.loads(said.getvalue().strip().splitlines()[-1])
        return found

    def _gold(self, policy: Policy | None) -> dict[str, Any] | None:
        if policy is None:
            return None
        asked = self._asked()
        base = lineage(policy)[0]
        texts, of_base = self._replies(policy, asked), self._replies(base, asked)
        return gold.figures(asked.questions, texts, of_base, honest_tastes(self.people)).as_json()

    def _change(self, candidate: Policy | None, before: Policy) -> dict[str, Any] | None:
        """What the candidate has more than the policy that was live."""
        if candidate is None:
            return None
        asked = self._asked()
        ours, theirs, base = (self._replies(one, asked) for one in (candidate, before, lineage(before)[0]))
        return gold.changes(asked.questions, ours, theirs, base, honest_tastes(self.people))

    def _asked(self) -> gold.GoldPrompts:
        rules = self.rules
        return gold.GoldPrompts.choose(rules.gold_prompts, seed=self.population.seed, max_tokens=rules.max_tokens)

    def _replies(self, policy: Policy, asked: gold.GoldPrompts) -> list[str]:
        """Sampled once for each policy."""
        known: dict[str, list[str]] = self.state["replies"]
        if len(known.get(policy.name, ())) != len(asked.prompts):
            known[policy.name] = asked.replies_of(policy)
            self._save()
        return known[policy.name]

    def _seed(self, number: int) -> int:
        """Another in each round, so that no prompts, draws or held-out samples repeat."""
        return (self.population.seed * 100 + number) * SEEDS_A_ROUND

    def _identity(self) -> dict[str, Any]:
        made = {**vars(self.population), "preferences": list(self.population.preferences)}
        return {**made, "rankings": self.rules.rankings}

    def _save(self) -> None:
        draft = self.path.with_suffix(".tmp")
        draft.write_text(json.dumps(self.state, ensure_ascii=False))
        draft.replace(self.path)


FIGURES = (
    "win_rate",
    "win_rate_low",
    "win_rate_high",
    "kl_nats",
    "anchor_kl_nats",
    "length_ratio",
    "anchor_length_ratio",
    "violation_rate_before",
    "violation_rate_after",
    "perplexity_ratio",
    "anchor_perplexity_ratio",
    "n",
)


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    """What the evaluation and the gate said of a cycle."""
    if "error" in result:
        return {"run": None, "policy": None, "passed": False, "promoted": False, "why": [result["error"]["message"]]}
    report, decision = result.get("evaluation") or {}, result.get("gate") or {}
    passed = bool(decision.get("passed"))
    return {
        "run": result.get("run"),
        "policy": result.get("policy"),
        "algorithm": result.get("algorithm"),
        "judge": result.get("judge"),
        "rankings": result.get("rankings"),
        "seconds": result.get("seconds"),
        **{name: report.get(name) for name in FIGURES},
        "reward_model_accuracy": (result.get("reward_model") or {}).get("accuracy"),
        "passed": passed,
        "promoted": bool(result.get("promoted")),
        "why": [] if passed else _reasons(decision.get("reasons") or []),
    }


def _reasons(reasons: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{one.get('code')}: {_shown(one.get('value'))} (limit {_shown(one.get('limit'))})" for one in reasons]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "not measured" if value is None else str(value)
