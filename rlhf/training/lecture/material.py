"""A corpus on disk as all models of the lecture read it: its tokens, its vocabulary, and what is known about it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf.training.lecture import arrays, tokens
from rlhf.training.lecture.corpus import Blocks
from rlhf.training.lecture.tokens import Ids, Vocabulary

TOKENS, FACTS = "tokens.safetensors", "facts.json"


@dataclass(frozen=True)
class CorpusDirectory:
    """The directory of a prepared corpus."""

    directory: Path

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return tokens.load(self.directory)

    @cached_property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / FACTS).read_text(encoding="utf-8"))
        return found

    @cached_property
    def _arrays(self) -> dict[str, Ids]:
        return {name: array.astype("int64") for name, array in arrays.read(self.directory / TOKENS).items()}

    @property
    def training(self) -> tuple[Ids, Ids]:
        """The tokens, and where each block begins."""
        return self._arrays["training"], self._arrays["training_starts"]

    @property
    def held_out(self) -> tuple[Ids, Ids]:
        return self._arrays["held_out"], self._arrays["held_out_starts"]


def prepare(blocks: Blocks, folder: Path) -> None:
    """Fills an empty folder. The vocabulary is learnt from the training part alone."""
    vocabulary = tokens.learn(blocks.training)
    training, training_starts = tokens.stream(vocabulary, blocks.training)
    held_out, held_out_starts = tokens.stream(vocabulary, blocks.held_out)
    vocabulary.save(folder)
    streams = {
        "training": training.astype("int32"),
        "training_starts": training_starts,
        "held_out": held_out.astype("int32"),
        "held_out_starts": held_out_starts,
    }
    arrays.write(folder / TOKENS, streams)
    facts = {
        "sha256": blocks.sha256,
        "tokens_are": vocabulary.kind,
        "types": vocabulary.size,
        "blocks": len(blocks.training),
        "held_out_blocks": len(blocks.held_out),
        "tokens": len(training),
        "held_out_tokens": len(held_out),
        "held_out_characters": sum(map(len, blocks.held_out)),
        "unknown_share": float((held_out == 0).mean()) if vocabulary.kind == "words" and len(held_out) else 0.0,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
