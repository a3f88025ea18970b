"""How two replies differ in length and Markdown, for ratings that hold them equal.

After Li, Angelopoulos and Chiang, "Does style matter?" (LMArena, 2024): each feature is (left - right) divided by
(left + right), in units of its standard deviation. Two deviations: length is in characters, since policies have
different tokenizers, and the mean is not taken off, since the order of the sides makes it, which is drawn by lot.
"""

import re
from dataclasses import astuple, dataclass

import numpy as np

from feedback.leaderboard.battles import Floats

LIST_ITEM = re.compile(r"^ {0,9}(?:[-*+]|\d{1,9}[.)])[ \t]+\S", re.MULTILINE)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
FENCED = re.compile(r"^(?:```|~~~).*?(?:^(?:```|~~~)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Style:
    """Of one text, or of the difference of two."""

    length: float
    lists: float
    headings: float
    bold: float


FEATURES = ("length", "lists", "headings", "bold")


def style_of(text: str) -> Style:
    """Characters, list items, headings and bold passages; Markdown within code is code."""
    prose = FENCED.sub("", text)
    return Style(len(text), *(len(pattern.findall(prose)) for pattern in (LIST_ITEM, HEADING, BOLD)))


def difference(left: str, right: str) -> Style:
    """Each feature from -1 (the right reply alone has it) to 1."""
    pairs = zip(astuple(style_of(left)), astuple(style_of(right)), strict=True)
    return Style(*((one - other) / (one + other) if one + other else 0.0 for one, other in pairs))


def scaled(differences: Floats) -> Floats:
    """(n, features): divided by the standard deviations; a feature that never differs stays 0."""
    spread = differences.std(axis=0) if len(differences) else np.ones(differences.shape[1])
    return np.asarray(differences / np.where(spread > 0, spread, 1.0))
