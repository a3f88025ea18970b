"""a - b + c with the word vectors of the live policy: what comes out, and what the slide's sign would give."""

from dataclasses import dataclass, field

from chat import policies
from chat.prompts.history import renderer_of
from chat.prompts.rendering import Renderer
from rlhf.training.lecture.arrays import BadArrays
from rlhf.training.lecture.vectors import NoEmbedding, WordVectors

LONGEST = 40
"""Characters of a word."""


@dataclass(frozen=True)
class NearToken:
    text: str
    cosine: float

    @property
    def percent(self) -> float:
        return max(0.0, 100 * self.cosine)


@dataclass(frozen=True)
class WordSum:
    """By a known policy."""

    policy: str
    right: list[NearToken] = field(default_factory=list)
    """a - b + c."""
    slide: list[NearToken] = field(default_factory=list)
    """a + b - c, the sign of the slide."""
    neighbours: list[NearToken] = field(default_factory=list)
    """Of a."""
    split: list[str] = field(default_factory=list)
    """Words that are several tokens there, and so have no vector of their own."""
    has_vectors: bool = True


def add_up(a: str, b: str, c: str) -> WordSum:
    """Raises NoLivePolicy, BadPolicy."""
    policy = policies.live()
    renderer = renderer_of(policy)
    if renderer is None:
        return WordSum(policy.name, has_vectors=False)
    numbers = {word: _tokens_of(renderer, word) for word in (a, b, c)}
    split = [word for word, found in numbers.items() if len(found) != 1]
    if split:
        return WordSum(policy.name, split=split)
    try:
        vectors = WordVectors.of_policy(policies.fetched(policy))
    except (NoEmbedding, BadArrays, OSError):
        return WordSum(policy.name, has_vectors=False)
    first, second, third = (numbers[word][0] for word in (a, b, c))
    return WordSum(
        policy.name,
        right=_told(renderer, vectors.nearest([first, third], [second])),
        slide=_told(renderer, vectors.nearest([first, second], [third])),
        neighbours=_told(renderer, vectors.nearest([first])),
    )


def _tokens_of(renderer: Renderer, word: str) -> list[int]:
    """Of a word in the middle of a sentence, where a space stands before it."""
    before = len(renderer.spelled("a", is_first=True))
    return [number for number, _ in renderer.spelled(f"a {word}", is_first=True)[before:]]


def _told(renderer: Renderer, found: list[tuple[int, float]]) -> list[NearToken]:
    return [NearToken(renderer.added_by(number, []).replace(" ", "␣"), cosine) for number, cosine in found]
