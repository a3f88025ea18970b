"""How long the completions of a snapshot are that people ranked: a policy is trained and compared at that length.

A reward model that learned from whole answers cannot judge answers that are cut after a sentence, and a policy that
loses reward for each cut one learns to be curt.
"""

import json
import math
from pathlib import Path

from chat.prompts.rendering import Renderer

SHARE = 0.9
"""Of the ranked completions, so many are no longer."""
STEP, LEAST, MOST = 16, 48, 256
"""In tokens. `MOST`: a rollout of longer ones takes too long on a few cores; what is longer is cut there."""


def completion_tokens(snapshot: Path, renderer: Renderer) -> int:
    """The longest completion that training samples, its end token included."""
    lengths = sorted(
        len(renderer.continuation(completion["text"])) + (completion["finish_reason"] != "length")
        for completion in _ranked(snapshot)
    )
    if not lengths:
        return LEAST
    usual = lengths[math.ceil(SHARE * len(lengths)) - 1]
    return min(MOST, max(LEAST, -(-usual // STEP) * STEP))


def _ranked(snapshot: Path) -> list[dict[str, str]]:
    with (snapshot / "rankings.jsonl").open(encoding="utf-8") as lines:
        return [completion for line in lines for completion in json.loads(line)["completions"]]
