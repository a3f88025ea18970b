"""The card of an exported data set: README.md, whose YAML head tells the Hub and `load_dataset` what is in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlhf.exports.columns import FORMATS, features

TAGS = {
    "trl-preference": ["trl", "preference"],
    "trl-kto": ["trl", "kto"],
    "sft": ["trl", "sft"],
    "demonstrations": ["trl", "sft"],
}
SPLITS = {"train": "train", "held_out": "test"}
"""Our sides of the split, by the names that trainers expect."""
WORDS = {
    "rankings": "Each row is one annotator's order over the completions of a prompt: `ranks`, 1 is best, equal "
    "ranks are ties. `shown` are positions in `completions` as they stood on the page.",
    "flags": "Each row says whether a completion breaks a rule, as one annotator saw it.",
    "trl-preference": "TRL's conversational preference format. The pairs of one ranking share `ranking`; `shown` are "
    "the places of the chosen and of the rejected one on the page.",
    "trl-kto": "TRL's conversational unpaired preference format.",
    "demonstrations": "TRL's conversational prompt-completion format: each row is a reply that an annotator wrote, "
    "or one that they corrected; then `original` is the reply as it was, and `policy` wrote that.",
    "ratings": "Each row is one annotator's ratings of the completions of a prompt, from 1 to 7: a list for each "
    "completion, in the order of `attributes`.",
    "sft": "TRL's conversational prompt-completion format: what annotators wrote or corrected, and the completion "
    "that was ranked first; `source` tells them apart.",
}


@dataclass(frozen=True)
class Card:
    format_key: str
    title: str
    licence: str
    """An identifier of the Hub, such as `cc-by-4.0`; `other` where none was chosen."""
    made_at: str
    counts: Mapping[str, int]
    languages: tuple[str, ...]
    sha256: Mapping[str, str]
    """Of each file of data."""
    files: Mapping[str, str]
    """The file of each side that has rows: a file without rows is read by nothing."""
    collected: Mapping[str, Any] = field(default_factory=dict)
    """What was collected and left out (rlhf.snapshots.tally)."""
    agreement: Mapping[str, float] = field(default_factory=dict)
    """Names and values, where agreement was measured."""

    def text(self) -> str:
        return "\n".join([*self._head(), *self._body()]) + "\n"

    def _head(self) -> list[str]:
        """YAML; JSON is YAML, too, and needs no library to be written."""
        sides = self.files or {"train": f"train{self._ending()}"}
        head: dict[str, Any] = {
            "license": self.licence,
            "pretty_name": self.title,
            "language": list(self.languages),
            "tags": ["human-feedback", "chamsae", *TAGS.get(self.format_key, [])],
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": SPLITS[side], "path": path} for side, path in sides.items()],
                }
            ],
            "dataset_info": {"features": features(FORMATS[self.format_key])},
        }
        return ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---"]

    def _ending(self) -> str:
        return next((name[name.rindex(".") :] for name in self.sha256), ".jsonl")

    def _body(self) -> list[str]:
        return [
            "",
            f"# {self.title}",
            "",
            WORDS[self.format_key],
            "",
            f"Exported {self.made_at} by Chamsae. Only judgements that may train are in it. Annotators are",
            "pseudonyms; `weight` is that of the row in training here, `consent` says by what its prompt may train,",
            "`consent_version` to which words its writer agreed (0: nobody had to be asked). In what people wrote in",
            "chats, names, addresses and numbers are masked, as `<NAME_1>`. `simulated` marks programs,",
            "`imported_from` marks judgements that were made elsewhere, `adjudicated` what a lead decided where",
            "annotators disagreed, in place of what they had said. `held_out` rows (the split `test`) share no",
            "conversation and no near-duplicate with those to train on.",
            "",
            *_table("Counts", self.counts),
            *_table("Agreement", self.agreement),
            *self._left_out(),
            *_table("SHA-256", self.sha256),
            *(
                []
                if self.files
                else ["The data set is empty: `load_dataset(..., streaming=True)` reads its columns."]
            ),
        ]

    def _left_out(self) -> list[str]:
        rows = {
            f"{kind}: {reason}": count
            for kind, found in self.collected.items()
            for reason, count in (found.get("left_out", {}) if isinstance(found, dict) else {}).items()
        }
        return _table("Collected on the site, and not in it", rows)


def _table(title: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {f'{value:.3f}' if isinstance(value, float) else value} |" for name, value in values.items()]
    return [f"## {title}", "", "| | |", "|---|---|", *rows, ""]
