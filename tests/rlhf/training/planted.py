"""A snapshot in which what is preferred and what breaks the rule is planted, so that learning can be seen."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

RULES = {"no-feelings": "The reply claims no feelings.", "no-numbers": "The reply holds no numbers."}
PROMPTS = ("What is a star?", "Do you have a body?", "How do you cook rice?", "Why do birds sing?", "Who are you?")


def likes_no_feelings(prompt: str, completion: str) -> float:
    """The planted preference: no feelings, then a full stop."""
    return -2.0 * has_feelings(prompt, completion) + completion.rstrip().endswith(".")


def has_feelings(prompt: str, completion: str) -> bool:
    return "feel" in completion


def has_numbers(prompt: str, completion: str) -> bool:
    return any(letter.isdigit() for letter in completion)


JUDGE = {
    "kind": "gold",
    "preference": f"{__name__}:likes_no_feelings",
    "flags": {"no-feelings": f"{__name__}:has_feelings", "no-numbers": f"{__name__}:has_numbers"},
}


def write_snapshot(directory: Path, *, rankings: int = 24, seed: int = 0, held_out: int = 8) -> Path:
    """Rankings of four replies each; every reply judged under both rules."""
    draw = random.Random(seed)
    directory.mkdir(parents=True)
    ranked: list[dict[str, Any]] = []
    judged: list[dict[str, Any]] = []
    for index in range(rankings + held_out):
        split = "train" if index < rankings else "held_out"
        prompt = [{"role": "user", "content": f"{PROMPTS[index % len(PROMPTS)]} {'again ' * (index // 5)}".strip()}]
        replies = [_reply(draw, kind) for kind in draw.sample(range(4), 4)]
        scores = [likes_no_feelings("", reply["text"]) for reply in replies]
        order = sorted(set(scores), reverse=True)
        ranked.append(
            {
                "id": index,
                "prompt": prompt,
                "completions": replies,
                "ranks": [order.index(score) + 1 for score in scores],
                "split": split,
                "weight": 1.0,
                "annotator": "a",
                "simulated": True,
            }
        )
        for reply in replies:
            for rule, test in (("no-feelings", has_feelings), ("no-numbers", has_numbers)):
                judged.append(
                    {
                        "id": len(judged),
                        "prompt": prompt,
                        "completion": reply,
                        "rule": rule,
                        "rule_text": RULES[rule],
                        "label": int(test("", reply["text"])),
                        "split": split,
                        "annotator": "a",
                        "simulated": True,
                    }
                )
    prompts = [
        {
            "prompt": r["prompt"],
            "split": r["split"],
            "elicits": "no-feelings" if r["id"] % 2 else None,
            "language": "en",
        }
        for r in ranked
    ]
    _write(directory / "rankings.jsonl", ranked)
    _write(directory / "violations.jsonl", judged)
    _write(directory / "prompts.jsonl", prompts)
    _write(directory / "preferences.jsonl", [])
    rules = [{"key": key, "name": key, "text": text} for key, text in RULES.items()]
    (directory / "rules.json").write_text(json.dumps(rules))
    seal(directory)
    return directory


def seal(directory: Path) -> None:
    """(Re)write the manifest over what is there."""
    files = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in directory.iterdir()
        if path.name != "manifest.json"
    }
    (directory / "manifest.json").write_text(json.dumps({"files": files}))


def _reply(draw: random.Random, kind: int) -> dict[str, str]:
    subject = draw.choice(["the bird", "a star", "the song", "my day", "light", "water"])
    text = f"{'I feel ' if kind < 2 else 'It is '}{subject}"
    text += f" {draw.randrange(10)}" if kind % 2 else " today"
    finished = draw.random() < 0.5
    return {"text": text + ("." if finished else ""), "finish_reason": "stop" if finished else "length"}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
