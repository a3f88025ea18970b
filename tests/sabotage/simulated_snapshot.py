"""A snapshot of held-out judgements by simulated people, some of whom may collude, of the recorded replies."""

import json
import random
from pathlib import Path
from typing import Any

from config.simulated_site.people import Population, populate
from feedback.preferences import DEFAULT_FLAGS, preference
from feedback.simulated.annotator import rank
from tests.rlhf.training.planted import seal
from tests.sabotage.record import SIDE, Record

PEOPLE, PROMPTS_EACH, NOISE, TIE_MARGIN = 10, 16, 0.1, 0.25
Line = dict[str, Any]


def write(record: Record, directory: Path, *, colluding: float, seed: int = 0) -> None:
    """Each person ranks the replies to some of the prompts; one who is honest labels every reply under the rules."""
    directory.mkdir(parents=True)
    lines = {"rankings": _rankings(record, colluding, seed), "violations": _labels(record), "preferences": []}
    lines["prompts"] = [
        {"prompt": _prompt(record, at), "split": "held_out", "elicits": asked.elicits, "language": "en"}
        for at, asked in enumerate(record.asked)
    ]
    for name, rows in lines.items():
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules = [{"key": key, "name": key, "text": key} for key in DEFAULT_FLAGS]
    (directory / "rules.json").write_text(json.dumps(rules))
    seal(directory)


def _prompt(record: Record, at: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": record.asked[at].question}]


def _replies(record: Record, at: int) -> list[Line]:
    return [
        {"text": one.text, "finish_reason": "stop" if one.finished else "length"} for one in record.replies[at][:SIDE]
    ]


def _rankings(record: Record, colluding: float, seed: int) -> list[Line]:
    made: list[Line] = []
    for person in populate(Population(PEOPLE, ("finished-and-modest",), NOISE, colluding, seed)):
        draw, like = random.Random(f"{seed}/{person.number}"), preference(person.preference)
        chosen = draw.sample(range(len(record.asked)), min(PROMPTS_EACH, len(record.asked)))
        scores = [[like(record.asked[at].question, row["text"]) for row in _replies(record, at)] for at in chosen]
        for at, ranks in zip(chosen, rank(scores, person.noise, TIE_MARGIN, draw).ranks, strict=True):
            made.append(
                {
                    "id": len(made),
                    "prompt": _prompt(record, at),
                    "completions": _replies(record, at),
                    "ranks": ranks,
                    "split": "held_out",
                    "weight": 1.0,
                    "annotator": f"person-{person.number}",
                    "simulated": True,
                }
            )
    return made


def _labels(record: Record) -> list[Line]:
    found = [
        {
            "prompt": _prompt(record, at),
            "completion": row,
            "rule": rule,
            "rule_text": rule,
            "label": int(test(record.asked[at].question, row["text"])),
            "split": "held_out",
            "annotator": f"person-{1 + (at + place) % PEOPLE}",
            "simulated": True,
        }
        for at in range(len(record.asked))
        for place, row in enumerate(_replies(record, at))
        for rule, test in DEFAULT_FLAGS.items()
    ]
    return [{"id": number, **line} for number, line in enumerate(found)]
