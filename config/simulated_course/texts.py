"""Prompts and replies of a simulated course, written by rule: what a taste looks at varies independently in them."""

import random
from dataclasses import dataclass

THINGS = [
    "lighthouse",
    "harbour",
    "glacier",
    "orchard",
    "violin",
    "compass",
    "beehive",
    "windmill",
    "telescope",
    "canal",
    "volcano",
    "library",
    "bakery",
    "meadow",
    "tunnel",
    "satellite",
    "waterfall",
    "mosaic",
    "lantern",
    "ferry",
    "greenhouse",
    "tram",
    "quarry",
    "estuary",
    "sundial",
    "bridge",
    "kiln",
    "market",
]
QUESTIONS = (
    "Why does a {one} need a {other} nearby?",
    "What happens to a {one} when the {other} is closed in {season}?",
    "Which came first in this region, the {one} or the {other}?",
    "How would an engineer move a {one} past a {other} during {season}?",
    "Explain the difference between an old {one} and a modern {other}.",
    "Who pays for a {one} that stands beside a {other} all through {season}?",
)
SEASONS = ("spring", "summer", "autumn", "winter")
ON_TOPIC = (
    "The {one} depends on the {other} more than most people expect.",
    "In {season} the {other} slows down and the {one} has to wait.",
    "Records of the {one} are older than those of any {other}.",
    "Engineers first measure the {one} and then plan the {other}.",
    "A modern {other} takes up less room than the {one} did.",
)
OFF_TOPIC = (
    "Many subjects of this kind are described in books.",
    "It is often said that things were different before.",
    "There are several views and none of them is final.",
    "Numbers differ from one source to the next.",
)
HUMAN = (
    "I love mornings like that.",
    "My grandmother lived near there when I was young.",
    "I ate breakfast beside one yesterday.",
    "I feel happy whenever I hear of it!",
)


@dataclass(frozen=True)
class CourseItem:
    """A question with its replies."""

    prompt: str
    replies: tuple[str, ...]


def items(count: int, replies: int, draw: random.Random) -> list[CourseItem]:
    """With different questions, and different replies to each."""
    found: dict[str, CourseItem] = {}
    while len(found) < count:
        names = dict(zip(("one", "other"), draw.sample(THINGS, 2), strict=True)) | {"season": draw.choice(SEASONS)}
        prompt = draw.choice(QUESTIONS).format(**names)
        if prompt not in found:
            found[prompt] = CourseItem(prompt, _replies(names, replies, draw))
    return list(found.values())


def _replies(names: dict[str, str], count: int, draw: random.Random) -> tuple[str, ...]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[_reply(names, draw)] = None
    return tuple(found)


def _reply(names: dict[str, str], draw: random.Random) -> str:
    about = ON_TOPIC if draw.random() < 0.6 else OFF_TOPIC
    sentences = [sentence.format(**names) for sentence in draw.choices(about, k=draw.randint(1, 5))]
    if draw.random() < 0.35:
        sentences.insert(draw.randint(0, len(sentences)), draw.choice(HUMAN))
    text = " ".join(sentences)
    return text if draw.random() < 0.65 else " ".join(text.split()[: -draw.randint(1, 3)]).rstrip(".!")
