"""What people found of held-out replies beside what the judge says of them: from it the judge's errors are known."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlhf.training.evaluation.judges import Judge
from rlhf.training.snapshot.files import HELD_OUT, PlainReply, SnapshotFiles

FILE = "violation_labels.jsonl"


@dataclass(frozen=True)
class LabelledReply:
    prompt: int
    """Its place among the prompts with labels: replies to one are resampled together."""
    labels: Mapping[str, float]
    """By rule, the share (0..1) of those who judged it that found the rule broken."""
    chances: Mapping[str, float]
    """By rule, the judge's probability that it is broken, by a model that did not learn from this reply's prompt."""

    def label_of_any(self) -> float | None:
        """Whether the reply breaks any rule that the judge knows; None where not all of them were looked at."""
        known = [self.labels[rule] for rule in self.chances if rule in self.labels]
        if known and (len(known) == len(self.chances) or max(known) >= 0.5):
            return max(known)
        return None

    def chance_of_any(self) -> float:
        """A score that rises with the chance, and no probability: what it is worth is measured on the labels."""
        return max(self.chances.values(), default=0.0)


def of_snapshot(snapshot: SnapshotFiles, judge: Judge) -> list[LabelledReply]:
    """The held-out labels with the judge's probabilities of these replies."""
    found: dict[PlainReply, dict[str, list[bool]]] = {}
    for row in snapshot.violations:
        if row.split == HELD_OUT:
            found.setdefault(row.reply, {}).setdefault(row.rule, []).append(row.violates)
    replies = list(found)
    chances = judge.violation_probabilities(replies) if replies else {}
    places: dict[Any, int] = {}
    return [
        LabelledReply(
            places.setdefault(reply.prompt, len(places)),
            {rule: sum(seen) / len(seen) for rule, seen in found[reply].items() if rule in chances},
            {rule: values[index] for rule, values in chances.items()},
        )
        for index, reply in enumerate(replies)
    ]


def write(labelled: Sequence[LabelledReply], directory: Path) -> dict[str, Any]:
    """Writes the file; returns what the report says of it."""
    text = "".join(_lines(labelled))
    (directory / FILE).write_text(text)
    return {"file": FILE, "rows": len(labelled), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _lines(labelled: Sequence[LabelledReply]) -> Iterator[str]:
    for one in labelled:
        yield json.dumps(asdict(one), allow_nan=False) + "\n"
