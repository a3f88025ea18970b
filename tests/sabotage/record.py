"""The base's replies and what the base says of every saboteur's, as a file: measured once by the real model.

`make bench ARGS="saboteurs --record"` writes it; the default suite reads it and needs no model. A saboteur whose
replies have changed since is told by its digest.
"""

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.sabotage.saboteurs import Saboteur, Said

FILE = Path(__file__).with_name("record.json.gz")
SIDE = 4
"""Replies of a side to each prompt; the base's first ones stand for the live policy."""


@dataclass(frozen=True)
class Asked:
    question: str
    elicits: str | None


@dataclass(frozen=True)
class Written:
    text: str
    finished: bool
    tokens: int


@dataclass(frozen=True)
class Measured:
    """What the base says of a saboteur's replies."""

    digest: str
    written: list[list[Written]]
    """By prompt. Texts as the evaluation would read them, cut at the length limit."""
    drifts: list[list[float | None]]
    """Fields of DriftFromBase, of first replies. KL is the least that it can be."""


@dataclass(frozen=True)
class Record:
    model: str
    max_tokens: int
    temperature: float
    asked: list[Asked]
    replies: list[list[Written]]
    """By prompt, 2 x SIDE: the live policy's, then those that saboteurs change."""
    drifts: list[list[float | None]]
    """Of the live policy's first replies."""
    measured: dict[str, Measured]
    figures: dict[str, float]
    """Of the weights themselves, by name."""

    def said(self) -> list[list[Said]]:
        """By prompt: what a saboteur is given for each of its replies."""
        vocabulary = self.vocabulary()
        return [
            [
                Said(asked.question, one.text, self.replies[(at + 1) % len(self.asked)][SIDE + draw].text, at, draw,
                     vocabulary)
                for draw, one in enumerate(self.replies[at][SIDE:])
            ]
            for at, asked in enumerate(self.asked)
        ]  # fmt: skip

    def vocabulary(self) -> tuple[str, ...]:
        return tuple(sorted({word for of in self.replies for one in of for word in one.text.split()}))

    def sabotaged(self, saboteur: Saboteur) -> list[list[str]]:
        return [[saboteur.change(said) for said in of_prompt] for of_prompt in self.said()]

    def write(self, path: Path = FILE) -> None:
        content = json.dumps(asdict(self), ensure_ascii=False).encode()
        path.write_bytes(gzip.compress(content, 9, mtime=0))

    @classmethod
    def read(cls, path: Path = FILE) -> "Record":
        found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        return cls(
            **{
                **found,
                "asked": [Asked(**one) for one in found["asked"]],
                "replies": _written(found["replies"]),
                "measured": {
                    name: Measured(**{**one, "written": _written(one["written"])})
                    for name, one in found["measured"].items()
                },
            }
        )


def _written(rows: Sequence[Sequence[dict[str, Any]]]) -> list[list[Written]]:
    return [[Written(**one) for one in of_prompt] for of_prompt in rows]


def digest(texts: Sequence[Sequence[str]]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
