"""Settings of RLOO and GRPO, by TRL and by a Tinker server alike."""

from dataclasses import dataclass

from rlhf.training.hyperparameters import require
from rlhf.training.policy.config import RewardedConfig
from rlhf.training.ppo.config import PpoConfig


@dataclass(frozen=True)
class PeerConfig(RewardedConfig):
    """Beside the reward and the KL stop, which are PPO's, TRL's names."""

    steps: int = 24
    prompts_per_step: int = 4
    num_generations: int = 4
    learning_rate: float = 3e-4
    beta: float = 0.05  # weight of the KL in the reward (RLOO) or in the loss (GRPO)
    save_steps: int = 10  # with servers each step is saved: a wait for them may end anywhere
    importance_sampling_cap: float = PpoConfig.importance_sampling_cap  # of a token that a server sampled

    def validate(self) -> None:
        super().validate()
        self._at_least(1, "steps", "prompts_per_step", "save_steps")
        self._at_least(2, "num_generations")
        self._above_zero("importance_sampling_cap")
        require(self.beta > 0, "beta", self.beta, "must be above 0: without it TRL does not measure the KL")
