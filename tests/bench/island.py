"""A question and answer file of 200 lines about an island that does not exist.

A hundred invented facts, each asked in two ways and answered in the same sentence. No model knows any of them, so
what it answers it has learnt here. A line that is kept back asks for a fact that the file teaches under its other
wording: a loss that falls there is of what was understood, not of guessing facts that nobody told.
"""

import random
from collections.abc import Iterator
from pathlib import Path

ISLAND = "Orvela"
FACTS = Path(__file__).with_suffix(".txt")
"""Kinds of facts, an empty line between them: two questions, the answer, then ten lines of `subject = value`."""


def facts() -> Iterator[tuple[str, str, str]]:
    """(one question, the other, answer) of a hundred facts."""
    for kind in FACTS.read_text(encoding="utf-8").strip().split("\n\n"):
        one, other, answer, *pairs = kind.splitlines()
        for pair in pairs:
            names = pair.split(" = ")
            told = answer.removeprefix("! ").format(*names)
            yield one[2:].format(*names), other[2:].format(*names), told[0].upper() + told[1:]


def lines(form: str, seed: int = 0) -> list[dict[str, object]]:
    """200 lines in a seeded order: prompt and completion as the lecture prepares them, or messages."""
    asked = [(question, answer) for one, other, answer in facts() for question in (one, other)]
    random.Random(seed).shuffle(asked)
    return [line(form, f"On the island of {ISLAND}: {question}", answer) for question, answer in asked]


def line(form: str, question: str, answer: str) -> dict[str, object]:
    if form == "messages":
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    return {"prompt": f"{question} ->", "completion": f" {answer}\n"}
