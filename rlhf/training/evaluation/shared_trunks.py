"""The policies of an evaluation in memory: those that are adapters over one base share all but its top layers.

They are compared by the weights that engines read, the base's with the adapter merged and rounded to bf16, and not by
the adapter beside the base: those answer people (with transformers or vLLM exactly; the GGUF file, made from the
merge before it is rounded, is held against them). So sampler and scorer are one, too, and no weight has to correct
the sampler. What an adapter holds below the step of bf16 does not count here before it has grown; it is not lost,
since training goes on from the adapter.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from rlhf.training.artefacts import policy_adapter
from rlhf.training.model import choice
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.model import RewardModel


class SharedTrunks:
    """`known`: directories of all policies of the evaluation, and of the bases of their adapters."""

    def __init__(
        self, known: Sequence[Path], adapted_layers: int, read: Callable[..., Decoder] = choice.load
    ) -> None:
        """`read(directory, adapted_layers=)` loads a policy."""
        self._known, self._layers, self._read = known, adapted_layers, read
        self._loaded: dict[str, Decoder] = {}

    def transformer(self, policy: Path) -> Decoder:
        """One for all directories with the same weights."""
        digest = reward_model.weights_digest(policy)
        if digest not in self._loaded:
            self._loaded[digest] = self._load(policy)
        return self._loaded[digest]

    def reward_model(self, directory: Path) -> RewardModel:
        """On the trunk of the policies where it was trained over it."""
        base = reward_model.base_of(directory, self._known)
        return reward_model.load(directory, self.transformer(base), base)

    def _load(self, policy: Path) -> Decoder:
        base = self._base_of(policy)
        if base is None:
            return self._read(policy, adapted_layers=self._layers)
        return self.transformer(base).with_top_of(policy)

    def _base_of(self, policy: Path) -> Path | None:
        """The directory whose lower layers the policy has unchanged; None where there is none among the known, or the
        policy is its base to the last bit: an update may be too small for bf16, or a run return to where it began."""
        adapter = policy_adapter.read(policy)
        if adapter is None or min(adapter.layers) < choice.layers_of(policy) - self._layers:
            return None
        if adapter.base_sha256 == reward_model.weights_digest(policy):
            return None
        same = (one for one in self._known if reward_model.weights_digest(one) == adapter.base_sha256)
        return next(same, None)
