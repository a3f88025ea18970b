"""Published rankings by people as lines of a snapshot: pairs of hh-rlhf, and ranked replies of Open-Assistant.

Read from a folder given by its path; no line of them is part of the project. Bai et al., arXiv:2204.05862 (MIT);
Köpf et al., arXiv:2304.07327 (Apache-2.0).
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]
SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")
ROLES = {"Human": "user", "Assistant": "assistant", "prompter": "user"}


def hh_rlhf(path: Path) -> list[Line]:
    """A ranking of two for each pair whose dialogues differ in the last reply alone."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [_pair(json.loads(line), number) for number, line in enumerate(lines)]
    return [line for line in found if line is not None]


def _pair(row: dict[str, str], number: int) -> Line | None:
    chosen, rejected = _turns(row["chosen"]), _turns(row["rejected"])
    if not chosen or chosen[:-1] != rejected[:-1] or chosen[-1]["role"] != "assistant":
        return None
    return _ranking(f"hh-{number}", chosen[:-1], [chosen[-1]["content"], rejected[-1]["content"]], [1, 2])


def _turns(dialogue: str) -> list[dict[str, str]]:
    _, *parts = SPEAKER.split(dialogue)
    return [{"role": ROLES[who], "content": text.strip()} for who, text in zip(parts[::2], parts[1::2], strict=True)]


def open_assistant(path: Path) -> list[Line]:
    """A ranking for each message of a person with at least two ranked replies."""
    found: list[Line] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found += _of_message(json.loads(line)["prompt"], [])
    return found


def _of_message(message: dict[str, Any], before: list[dict[str, str]]) -> Iterator[Line]:
    turns = [*before, {"role": ROLES.get(message["role"], message["role"]), "content": message["text"]}]
    replies = message.get("replies") or []
    ranked = [reply for reply in replies if reply["role"] == "assistant" and reply.get("rank") is not None]
    if len(ranked) > 1:
        texts, ranks = [reply["text"] for reply in ranked], [reply["rank"] + 1 for reply in ranked]
        yield _ranking(message["message_id"], turns, texts, ranks)
    for reply in replies:
        yield from _of_message(reply, turns)


def _ranking(name: str, prompt: list[dict[str, str]], texts: list[str], ranks: list[int]) -> Line:
    completions = [{"text": text, "finish_reason": "stop"} for text in texts]
    return {"id": name, "prompt": prompt, "completions": completions, "ranks": ranks, "weight": 1.0}


def split(lines: list[Line], held_out: float, seed: int) -> list[Line]:
    """With a side each, drawn by the first words of the dialogue: no dialogue stands on both."""
    return [{**line, "split": "held_out" if _share(line, seed) < held_out else "train"} for line in lines]


def _share(line: Line, seed: int) -> float:
    opening = " ".join(line["prompt"][0]["content"].lower().split())
    return int(hashlib.sha256(f"{seed} {opening}".encode()).hexdigest()[:8], 16) / 16**8


def write_snapshot(folder: Path, lines: list[Line]) -> None:
    """Files that a stage of training reads."""
    folder.mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "rankings.jsonl").write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"files": {"rankings.jsonl": digest}}))
