"""What every way trains from: the base, the adapter to go on from, and the snapshot with its prompts cut to fit."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rlhf.training.artefacts import policy_adapter
from rlhf.training.artefacts.policy_adapter import PolicyAdapter
from rlhf.training.model.adapter import Adapter, AdapterMismatch
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward.model import weights_digest
from rlhf.training.run import RunDirectory
from rlhf.training.snapshot.files import TRAIN, BadSnapshot, PromptRow, SnapshotFiles, thaw
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer

log = logging.getLogger(__name__)


class Shaped(Protocol):
    """Settings of a way, as far as they shape its adapter."""

    @property
    def rank(self) -> int: ...
    @property
    def alpha(self) -> float: ...


Settings = TypeVar("Settings", bound=Shaped)


@dataclass(frozen=True)
class PolicyInputs:
    """`base` has no adapter merged in; `counts`: prompts that lost turns or did not fit, for the result."""

    base: Path
    tokenizer: ChatTokenizer
    snapshot: SnapshotFiles
    counts: dict[str, int]
    start: PolicyAdapter | None = None
    """The live policy's, which training goes on from; None where the live policy is the base itself."""

    @classmethod
    def read(cls, directory: RunDirectory, max_prompt_tokens: int) -> "PolicyInputs":
        base = directory.directory("base")
        tokenizer = ChatTokenizer.load(base)
        fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, max_prompt_tokens)
        return cls(base, tokenizer, fitted.snapshot, fitted.counts, _start_of(directory, base))

    def shaped(self, settings: Settings) -> Settings:
        """With the rank and alpha of the adapter that training goes on from: a shape cannot change half way."""
        start = self.start
        if start is None or (settings.rank, settings.alpha) == (start.rank, start.alpha):
            return settings
        asked = f"rank {settings.rank}, alpha {settings.alpha:g}"
        log.warning(
            "the adapter of %s keeps rank %d, alpha %g; asked for: %s", start.policy, start.rank, start.alpha, asked
        )
        return replace(settings, rank=start.rank, alpha=start.alpha)  # type: ignore[type-var]

    def starting_adapter(self, transformer: Decoder, *, seed: int) -> Adapter | None:
        """Over the transformer's whole top. Raises AdapterMismatch."""
        return None if self.start is None else Adapter.load_onto(self.start.directory, transformer, seed=seed)

    def start_facts(self, asked: Shaped) -> dict[str, Any]:
        """Of a run that goes on, for its result and its card. `asked`: its settings before `shaped`."""
        if self.start is None:
            return {}
        found: dict[str, Any] = {"goes_on_from": self.start.policy}
        kept = (asked.rank, asked.alpha) != (self.start.rank, self.start.alpha)
        return found | ({"rank_asked": asked.rank, "rank_kept": self.start.rank} if kept else {})

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


def _start_of(directory: RunDirectory, base: Path) -> PolicyAdapter | None:
    """The adapter of the policy under `start`. Raises AdapterMismatch where it was trained over other weights."""
    if not directory.config.get("start"):
        return None
    found = policy_adapter.read(directory.directory("start"))
    if found is None:
        raise AdapterMismatch(f"{directory.directory('start')} has none")
    if found.base_sha256 != weights_digest(base):
        raise AdapterMismatch(f"that of {found.policy} was trained over {found.base}, not over {base.name}")
    return found
