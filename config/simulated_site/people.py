"""The simulated people: who likes what, who errs how often, and who colludes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.simulated_site import collusion
from feedback.preferences import DEFAULT_FLAGS, dotted
from feedback.simulated.cases import SimulationPlan

MOST_NOISE = 0.45
SPREAD = (0.5, 1.5)
"""A person's share of mistakes is drawn between these times the asked one."""


@dataclass(frozen=True)
class Population:
    """What was asked for. Shares from 0 to 1; noise is the mean share of mistakes."""

    people: int
    preferences: tuple[str, ...]
    noise: float
    colluding: float
    seed: int


@dataclass(frozen=True)
class SimulatedPerson:
    number: int
    preference: str
    noise: float
    colludes: bool

    @property
    def flags(self) -> Mapping[str, str]:
        """{rule key: dotted path of the test}"""
        test = dotted(collusion.finds_nothing)
        return {key: test if self.colludes else dotted(honest) for key, honest in DEFAULT_FLAGS.items()}

    def plan(self, *, rankings: int, seed: int, held_out_share: float, max_tokens: int | None) -> SimulationPlan:
        """What they judge in one round. The account stays the same, the prompts do not."""
        return SimulationPlan(
            rankings=rankings,
            preference=self.preference,
            flags=self.flags,
            noise=self.noise,
            seed=seed,
            person=self.number,
            held_out_share=held_out_share,
            max_tokens=max_tokens,
        )


def populate(population: Population) -> list[SimulatedPerson]:
    """Tastes in turn; which of them collude, and how much each errs, is drawn by the seed."""
    draw = random.Random(f"{population.seed}/people")
    numbers = range(1, population.people + 1)
    colluding = set(draw.sample(numbers, round(population.colluding * population.people)))
    return [_person(number, number in colluding, population, draw) for number in numbers]


def honest_tastes(people: Sequence[SimulatedPerson]) -> list[str]:
    """Of each honest person, in order: a taste counts as often as people have it."""
    return [one.preference for one in people if not one.colludes]


def _person(number: int, colludes: bool, population: Population, draw: random.Random) -> SimulatedPerson:
    noise = min(MOST_NOISE, population.noise * draw.uniform(*SPREAD))
    taste = population.preferences[(number - 1) % len(population.preferences)]
    wrong = dotted(collusion.off_the_question)
    return SimulatedPerson(number, wrong if colludes else taste, round(noise, 4), colludes)
