"""Where the scorer comes from: a class named in the settings, since the app that trains reward models is above."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.utils.module_loading import import_string

from chat.models import Policy

STEPS = tuple(step / 20 for step in range(1, 20))
"""The limits that an admin can choose, 0.05 to 0.95."""


@dataclass(frozen=True)
class ScorerAddress:
    """A reward model, and the program that loads it."""

    label: str
    """For people and for the log."""
    module: str
    """The child process is `python -m MODULE` (chat.choosing.client)."""
    directory: str
    policies: tuple[str, ...] = ()
    """Directories of policies, one of which has the weights that it was trained over."""


@dataclass(frozen=True)
class LimitFigures:
    """What a limit does on labels that the reward model did not learn from; None where there was none of the kind."""

    false_alarms: float | None
    """Share of the replies that follow the rule and are left out."""
    recall: float | None
    """Share of the replies that break it and are left out."""


@dataclass(frozen=True)
class JudgedRule:
    """A rule that the reward model can tell."""

    key: str
    figures: dict[float, LimitFigures]
    """By limit; empty where nothing was measured."""
    following: int = 0
    """Held-out labels behind the figures."""
    violating: int = 0


class ScorerSource:
    """Base class; without one there is no scorer."""

    def scorer_for(self, policy: Policy) -> ScorerAddress | None:
        """Of the reward model that judges the policy's replies; None if there is none."""
        return None

    def bring(self, policy: Policy) -> ScorerAddress | None:
        """As `scorer_for`, with everything that it names on this host, which may take minutes.

        Raises ScorerDown where it can't be brought; a guarded reply is then not shown.
        """
        return self.scorer_for(policy)

    def judged_rules(self, policy: Policy) -> Sequence[JudgedRule]:
        """The rules that this reward model can tell."""
        return ()


def source() -> ScorerSource:
    """An instance of settings.CHAT_SCORER."""
    return _load(settings.CHAT_SCORER)


@lru_cache
def _load(path: str) -> ScorerSource:
    found = import_string(path)()
    assert isinstance(found, ScorerSource), path
    return found
