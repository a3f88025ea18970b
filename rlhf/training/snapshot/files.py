"""Reads a snapshot's files: rankings with their pairs, replies judged by a rule, prompts."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

from rlhf.training.tokens import Message

TRAIN, HELD_OUT = "train", "held_out"
PromptMessages = tuple[tuple[str, str], ...]
"""(role, content) of each message: hashable, so that replies to one prompt find one another."""


@dataclass
class BadSnapshot(Exception):
    """A snapshot that is incomplete, changed, or not in the agreed form."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class PlainReply:
    """One completion of one prompt. `finished`: the model ended it itself, or it was cut where a reply may end."""

    prompt: PromptMessages
    text: str
    finished: bool


@dataclass(frozen=True)
class RankingRow:
    """One annotator's order over K replies to a prompt; equal ranks are ties."""

    replies: tuple[PlainReply, ...]
    ranks: tuple[int, ...]
    split: str
    weight: float = 1.0
    annotator: str = ""
    """A pseudonym; empty where the snapshot does not say who judged."""
    group: str = ""
    """Equal for prompts of one conversation and for near-duplicates."""
    simulated: bool = False
    imported: bool = False
    """Made by people elsewhere, who qualify no judge."""
    shown: tuple[int, ...] = ()
    """Positions in `replies` in the order in which the annotator saw them; empty where that is not known."""
    margins: tuple[tuple[int, int, float], ...] = ()
    """(better, worse, margin): by how much the score of one reply should lie above that of another, where people said
    how much better it is."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(better, worse) positions; a tie carries none, nor do two replies of one text."""
        found = []
        for one, other in combinations(range(len(self.ranks)), 2):
            if self.replies[one].text == self.replies[other].text:
                continue
            if self.ranks[one] < self.ranks[other]:
                found.append((one, other))
            elif self.ranks[other] < self.ranks[one]:
                found.append((other, one))
        return found

    @property
    def pair_margins(self) -> list[float]:
        """The margin of each of `pairs`, 0 where nobody said how much better."""
        known = {(better, worse): margin for better, worse, margin in self.margins}
        return [known.get(pair, 0.0) for pair in self.pairs]

    @property
    def pair_weight(self) -> float:
        """1/C(K,2) (InstructGPT, arXiv:2203.02155, equation 1): a ranking of many replies counts no more than one."""
        return self.weight / comb(len(self.ranks), 2)


@dataclass(frozen=True)
class ViolationRow:
    """One annotator's judgement of whether a reply breaks a rule."""

    reply: PlainReply
    rule: str
    rule_text: str
    violates: bool
    split: str
    weight: float = 1.0
    annotator: str = ""
    group: str = ""
    simulated: bool = False
    imported: bool = False


@dataclass(frozen=True)
class ThumbRow:
    """One person's thumb on a reply in the chat: a label of absolute quality."""

    reply: PlainReply
    is_up: bool
    split: str
    weight: float = 1.0


@dataclass(frozen=True)
class PromptRow:
    """A prompt to sample from; `elicits` names the rule that it tempts the model to break."""

    prompt: PromptMessages
    split: str
    elicits: str | None = None
    language: str = "en"
    group: str = ""
    sha256: str = ""
    """Of the site's own row, where the prompt has the site's instructions besides."""

    @property
    def name(self) -> str:
        """sha256 by which the site finds its row (feedback.prompts.digest)."""
        return self.sha256 or digest(self.prompt)


@dataclass(frozen=True)
class SnapshotFiles:
    """All that a run learns from and is judged on."""

    directory: Path
    rankings: tuple[RankingRow, ...]
    violations: tuple[ViolationRow, ...]
    prompts: tuple[PromptRow, ...]
    rules: dict[str, str]
    """Key -> text of the rules that are switched on."""
    simulated: bool
    rule_groups: dict[str, str] = field(default_factory=dict)
    """Key -> group of those rules; nothing in snapshots of before version 0.3."""
    thumbs: tuple[ThumbRow, ...] = ()

    @classmethod
    def load(cls, directory: Path) -> "SnapshotFiles":
        """Read a snapshot directory and check it against its manifest. Raises BadSnapshot."""
        _check_manifest(directory)
        try:
            return cls._read(directory)
        except (KeyError, TypeError, ValueError) as error:
            raise BadSnapshot(directory, f"a row lacks or misspells {error}") from error

    @classmethod
    def _read(cls, directory: Path) -> "SnapshotFiles":
        rows = list(_read_lines(directory / "rankings.jsonl"))
        judged = list(_read_lines(directory / "violations.jsonl"))
        rankings = [_ranking(row) for row in rows] or [
            _preference(row) for row in _read_lines(directory / "preferences.jsonl")
        ]
        path = directory / "rules.json"
        rules = json.loads(path.read_text()) if path.exists() else []
        return cls(
            directory=directory,
            rankings=tuple(rankings),
            violations=tuple(_violation(row) for row in judged),
            prompts=tuple(_prompt_row(row) for row in _read_lines(directory / "prompts.jsonl")),
            rules={row["key"]: row["text"] for row in rules},
            simulated=any(row.get("simulated") for row in [*rows, *judged]),
            rule_groups={row["key"]: row["group"] for row in rules if row.get("group")},
            thumbs=tuple(_thumb(row) for row in _read_lines(directory / "unpaired.jsonl")),
        )

    def prompt_groups(self) -> dict[PromptMessages, str]:
        """Of every prompt with judgements or to sample from, the group that must not be torn apart."""
        ranked = {one.replies[0].prompt: one.group for one in self.rankings}
        judged = {one.reply.prompt: one.group for one in self.violations}
        return ranked | judged | {row.prompt: row.group for row in self.prompts}

    def prompts_of(self, split: str) -> list[PromptRow]:
        return [row for row in self.prompts if row.split == split]


def freeze(messages: Sequence[Message]) -> PromptMessages:
    return tuple((message["role"], message["content"]) for message in messages)


def thaw(prompt: PromptMessages) -> list[Message]:
    return [{"role": role, "content": content} for role, content in prompt]


def digest(prompt: PromptMessages) -> str:
    """sha256 of the whole prompt, by which the site finds its row (feedback.prompts.digest)."""
    return hashlib.sha256(json.dumps(list(prompt), ensure_ascii=False).encode(errors="replace")).hexdigest()


def last_user_text(prompt: PromptMessages) -> str:
    """The prompt as annotators' functions take it: the last message of the user."""
    return next((content for role, content in reversed(prompt) if role == "user"), "")


def _read_lines(path: Path) -> Iterable[dict[str, Any]]:
    """Rows of a JSON lines file; none where the file is absent."""
    if not path.exists():
        return
    with path.open() as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise BadSnapshot(path, f"line {number}: {error}") from error


def _check_manifest(directory: Path) -> None:
    """Compare each listed file with its sha256. Raises BadSnapshot."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise BadSnapshot(directory, f"no readable manifest ({error})") from error
    for name, entry in manifest["files"].items():
        expected = entry["sha256"] if isinstance(entry, dict) else entry
        path = directory / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise BadSnapshot(path, "absent, or changed since it was frozen")


def _reply(prompt: PromptMessages, row: dict[str, Any]) -> PlainReply:
    return PlainReply(prompt, row["text"], row["finish_reason"] == "stop")


def _ranking(row: dict[str, Any]) -> RankingRow:
    prompt = freeze(row["prompt"])
    replies = tuple(_reply(prompt, item) for item in row["completions"])
    if len(replies) != len(row["ranks"]) or len(replies) < 2:
        raise ValueError(f"ranks of ranking {row.get('id')}")
    return RankingRow(
        replies,
        tuple(row["ranks"]),
        **_said_of(row, prompt, row["split"]),
        shown=tuple(row.get("shown") or ()),
        margins=tuple((int(better), int(worse), float(margin)) for better, worse, margin in row.get("margins") or ()),
    )


def _preference(row: dict[str, Any]) -> RankingRow:
    """TRL's conversational preference format, which does not say how a reply ended: count it as finished."""
    prompt = freeze(row["prompt"])
    sides = (row["chosen"], row["rejected"])
    replies = tuple(PlainReply(prompt, side[-1]["content"], True) for side in sides)
    margins = ((0, 1, float(row["margin"])),) if row.get("margin") else ()
    return RankingRow(replies, (1, 2), **_said_of(row, prompt, row.get("split", TRAIN)), margins=margins)


def _thumb(row: dict[str, Any]) -> ThumbRow:
    """TRL's conversational unpaired preference format, which does not say how a reply ended: count it as finished."""
    reply = PlainReply(freeze(row["prompt"]), row["completion"][-1]["content"], True)
    return ThumbRow(reply, bool(row["label"]), row.get("split", TRAIN), float(row.get("weight", 1.0)))


def _violation(row: dict[str, Any]) -> ViolationRow:
    prompt = freeze(row["prompt"])
    said = _said_of(row, prompt, row["split"])
    return ViolationRow(_reply(prompt, row["completion"]), row["rule"], row["rule_text"], bool(row["label"]), **said)


def _said_of(row: dict[str, Any], prompt: PromptMessages, split: str) -> dict[str, Any]:
    """What lines of judgements have in common."""
    return {
        "split": split,
        "weight": float(row.get("weight", 1.0)),
        "annotator": str(row.get("annotator", "")),
        "group": _group(row, prompt),
        "simulated": bool(row.get("simulated")),
        "imported": bool(row.get("imported_from")),
    }


def _prompt_row(row: dict[str, Any]) -> PromptRow:
    prompt = freeze(row["prompt"])
    said = (row["split"], row.get("elicits"), row.get("language", "en"))
    return PromptRow(prompt, *said, _group(row, prompt), row.get("sha256", ""))


def _group(row: dict[str, Any], prompt: PromptMessages) -> str:
    """Of a line without one (of what is trained on, and of snapshots of version 0.2), the prompt itself."""
    return str(row.get("group") or digest(prompt))
