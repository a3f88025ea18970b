"""The scorer's child process: scores completions, and gives P(violation) of each rule, by a reward model.

Started as `python -m rlhf.serving.scorer`. Requests and answers are those of chat.choosing.client. It keeps the last
reward models loaded, and ends with its stdin. No Django.
"""

import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

from chat.engines.lifeline import die_with_parent

KEPT = 2
"""Reward models in memory: the live policy's, and that of one on trial."""
NO_LIMIT = 1_000_000
"""Tokens of a completion that are read: all, since a rule may be broken in the last sentence."""


class LoadedScorer:
    """A reward model over its base."""

    def __init__(self, directory: Path, policies: list[Path]) -> None:
        from rlhf.training.reward import model
        from rlhf.training.tokens import ChatTokenizer

        base = model.base_of(directory, policies)
        self.model = model.load(directory, base=base)
        self.tokenizer = ChatTokenizer.load(base)
        members = self.model.members
        self.log_odds = float(sum(member.scale.score_sd for member in members) / len(members))
        """One unit of its normalised scores as log odds, in which it was trained."""

    def score(self, messages: list[Any], completions: list[dict[str, Any]]) -> dict[str, Any]:
        from rlhf.training.reward.features import encode

        rows = [
            encode(self.tokenizer, messages, one["text"], finished=one["finished"], max_completion_tokens=NO_LIMIT)
            for one in completions
        ]
        found = self.model.judge_rows(rows, self.tokenizer.padding_id)
        return {
            "scores": (found.scores * self.log_odds).tolist(),
            "violations": [dict(zip(self.model.judged, row, strict=True)) for row in found.violations.tolist()],
        }


class Scorers:
    """The last ones that were asked for."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, LoadedScorer] = OrderedDict()

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        directory = asked["directory"]
        if directory not in self._loaded:
            while len(self._loaded) >= KEPT:
                self._loaded.popitem(last=False)
            self._loaded[directory] = LoadedScorer(Path(directory), [Path(one) for one in asked["policies"]])
        self._loaded.move_to_end(directory)
        if not asked["completions"]:
            return {"scores": [], "violations": []}
        return self._loaded[directory].score(asked["messages"], asked["completions"])


def main() -> None:
    die_with_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    from rlhf.training.process import prepare_process

    prepare_process(int(os.environ.get("OMP_NUM_THREADS", "1")))
    from rlhf.training.tokens import ChatTokenizer

    ChatTokenizer.thinks = os.environ.get("CHAMSAE_THINKING") == "on"
    scorers = Scorers()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = scorers.answer(asked)
        except Exception as error:  # whatever torch and transformers raise is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps({"id": asked["id"], **answer}) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
