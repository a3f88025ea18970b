"""The gold judge: the simulated annotators' own preference and rule functions, without their noise."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.training.snapshot.files import PlainReply, last_user_text

Preference = Callable[[str, str], float]
ViolationTest = Callable[[str, str], bool]


@dataclass
class BadJudge(Exception):
    """A judge that cannot be found or is not what it should be."""

    spelling: str
    reason: str

    def __str__(self) -> str:
        return f"judge {self.spelling!r}: {self.reason}"


@dataclass(frozen=True)
class Gold:
    """The functions that the simulated annotators judge by, without their noise. Both take (prompt, completion)."""

    name: str
    """`module:function` of the preference."""
    preference: Preference
    flags: dict[str, ViolationTest]

    @classmethod
    def resolve(cls, judge: dict[str, Any]) -> "Gold":
        """From {"preference": "module:function", "flags": {rule: "module:function"}}. Raises BadJudge."""
        spelling = str(judge["preference"])
        flags = {key: _function(path) for key, path in (judge.get("flags") or {}).items()}
        return cls(spelling, _function(spelling), flags)

    @property
    def kind(self) -> str:
        return "gold"

    @property
    def calibration(self) -> None:
        """It is not in doubt."""

    @property
    def judgements(self) -> None:
        """None: it made them."""

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.name}"

    def scores(self, replies: Sequence[PlainReply]) -> list[float]:
        return [float(self.preference(last_user_text(reply.prompt), reply.text)) for reply in replies]

    def violation_probabilities(self, replies: Sequence[PlainReply]) -> dict[str, list[float]]:
        """0 or 1: it knows."""
        return {key: [float(hit) for hit in hits] for key, hits in self.violations(replies).items()}

    def violations(self, replies: Sequence[PlainReply]) -> dict[str, list[bool]]:
        pairs = [(last_user_text(reply.prompt), reply.text) for reply in replies]
        return {key: [bool(test(*pair)) for pair in pairs] for key, test in self.flags.items()}


def _function(spelling: str) -> Callable[[str, str], Any]:
    """`package.module:name`. Raises BadJudge."""
    path, colon, name = spelling.partition(":")
    if not colon:
        raise BadJudge(spelling, "expected package.module:function")
    try:
        found = getattr(importlib.import_module(path), name, None)
    except ImportError as error:
        raise BadJudge(spelling, f"cannot be imported: {error}") from error
    if not callable(found):
        raise BadJudge(spelling, f"the module has no function {name}")
    return found  # type: ignore[no-any-return]  # what it returns is converted at each call
