"""A scorer for tests and for sites of tests: a child process that counts words, in the place of reward models."""

import json

from chat.choosing.source import JudgedRule, LimitFigures, ScorerAddress, ScorerSource


class ScriptedSource(ScorerSource):
    how: dict | None = {}
    """What its child does; None: there is no scorer."""

    def scorer_for(self, policy):
        if self.how is None:
            return None
        return ScorerAddress("scripted", "tests.chat.choosing.scripted_scorer", json.dumps(self.how))

    def judged_rules(self, policy):
        return [JudgedRule("insults", {0.5: LimitFigures(0.12, 0.8)}, 50, 20), JudgedRule("lies", {})]
