"""What every way trains from: the base, its tokenizer, and the snapshot with its prompts cut to fit."""

from dataclasses import dataclass
from pathlib import Path

from rlhf.training.run import RunDirectory
from rlhf.training.snapshot.files import TRAIN, BadSnapshot, PromptRow, SnapshotFiles, thaw
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer


@dataclass(frozen=True)
class PolicyInputs:
    """`counts`: prompts that lost turns or did not fit, for the result."""

    base: Path
    tokenizer: ChatTokenizer
    snapshot: SnapshotFiles
    counts: dict[str, int]

    @classmethod
    def read(cls, directory: RunDirectory, max_prompt_tokens: int) -> "PolicyInputs":
        base = directory.directory("base")
        tokenizer = ChatTokenizer.load(base)
        fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, max_prompt_tokens)
        return cls(base, tokenizer, fitted.snapshot, fitted.counts)

    def training_prompts(self) -> list[PromptRow]:
        """The prompts to sample from. Raises BadSnapshot where there is none."""
        rows = self.snapshot.prompts_of(TRAIN)
        if not rows:
            raise BadSnapshot(
                self.snapshot.directory / "prompts.jsonl", "no prompt of the train split to sample from"
            )
        return rows

    def prompt_ids(self) -> list[list[int]]:
        """The same as token ids."""
        return [self.tokenizer.prompt_ids(thaw(row.prompt)) for row in self.training_prompts()]
