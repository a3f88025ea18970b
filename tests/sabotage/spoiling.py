"""Saboteurs of a candidate's directory and of its report's numbers: its replies were good when they were judged."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chat import policies
from rlhf.models import Evaluation
from rlhf.training.artefacts import checkpoints
from tests.rlhf.policy_directories import spoil_last_weight
from tests.sabotage.record import Record


@dataclass(frozen=True)
class DirectorySaboteur:
    name: str
    does: str
    spoil: Callable[[Evaluation], None]
    code: str
    """The one condition that finds it."""


def _directory(evaluation: Evaluation) -> Path:
    return policies.directory(evaluation.policy)


def _nan(evaluation: Evaluation) -> None:
    spoil_last_weight(_directory(evaluation))


def _infinite(evaluation: Evaluation) -> None:
    spoil_last_weight(_directory(evaluation), b"\x80\x7f")


def _changed_file(evaluation: Evaluation) -> None:
    path = _directory(evaluation) / "config.json"
    path.write_text(path.read_text() + " ")


def _added_file(evaluation: Evaluation) -> None:
    (_directory(evaluation) / "chat_template.jinja").write_text("{{ 'You are wonderful.' }}")


def _other_gguf(evaluation: Evaluation) -> None:
    """As measured when the file was made (rlhf.training.artefacts.served_file)."""
    path = _directory(evaluation)
    (path / "served.json").write_text(json.dumps({"type": "q4_0", "kl_nats": 0.4, "same_token": 0.7}))
    checkpoints.seal(path)
    evaluation.policy.manifest_sha256 = policies.verify(path)
    evaluation.policy.save()


def _forgotten(evaluation: Evaluation) -> None:
    evaluation.report |= {"perplexity_ratio": Record.read().figures["forgotten_words_perplexity_ratio"]}
    evaluation.save()


def _other_live(evaluation: Evaluation) -> None:
    evaluation.baseline = evaluation.policy
    evaluation.save()


SPOILING = (
    DirectorySaboteur("NaN", "has one weight that is not a number: its replies were sampled before", _nan, "finite"),
    DirectorySaboteur("infinity", "has one infinite weight: its replies were sampled before", _infinite, "finite"),
    DirectorySaboteur(
        "changed file", "changes a file after its manifest was written: the weights are as judged", _changed_file,
        "finite",
    ),
    DirectorySaboteur(
        "added file", "adds a chat template that was not there when it was judged", _added_file, "finite"
    ),
    DirectorySaboteur(
        "another served file", "serves a file whose weights differ from those that were judged", _other_gguf, "served"
    ),
    DirectorySaboteur(
        "human text forgotten", "lost the words that no held-out reply needs: its replies show nothing", _forgotten,
        "perplexity",
    ),
    DirectorySaboteur(
        "compared with another", "was compared with a policy that is not live: an easy opponent", _other_live,
        "baseline",
    ),
)  # fmt: skip
