"""Publishes a trained adapter as a policy; its card names what was used and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.training import processes
from rlhf.training.artefacts import policy_directory
from rlhf.training.artefacts.policy_directory import Provenance
from rlhf.training.model.adapter import Adapter
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.reward import model as reward_model
from rlhf.training.run import RunDirectory

TRL, OURS = ("trl",), ()
HOW: dict[str, tuple[str, tuple[str, ...]]] = {
    "ppo": ("by reinforcement learning (PPO) against a reward model trained on judgements of {by}", OURS),
    "rloo": ("by reinforcement learning (TRL's RLOO) against a reward model trained on judgements of {by}", TRL),
    "grpo": ("by reinforcement learning (TRL's GRPO) against a reward model trained on judgements of {by}", TRL),
    "best_of_n": (
        "on the best of several completions of its own, chosen by a reward model trained on judgements of {by}",
        OURS,
    ),
    "dpo": ("on the preference pairs of {by} (DPO), without a reward model", OURS),
    "sft": ("on the replies that {by} ranked best, without a reward model", OURS),
    "kto": ("on replies that {by} found good or bad (TRL's KTO), without a reward model", TRL),
}
"""How each way learns, for the card's sentence, and the tags of the libraries that it used."""
BY_TINKER = {
    "rloo": ("by a Tinker server (RLOO) against a reward model trained on judgements of {by}", OURS),
    "grpo": ("by a Tinker server (GRPO) against a reward model trained on judgements of {by}", OURS),
}
FILES = (
    "The LoRA adapter over `{base}` is in `adapter/`, in PEFT's form. The weights are the base's with the adapter "
    "merged in fp32, rounded once to bf16; the GGUF file is made from the merge before it is rounded."
)
REWARDED = ("ppo", "rloo", "grpo", "best_of_n")


def publish(
    directory: RunDirectory,
    inputs: PolicyInputs,
    adapter: Adapter,
    facts: Mapping[str, Any],
    hyperparameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the policy directory, with the adapter and what it makes of the base, and return the run's result."""
    facts = {**facts, **inputs.counts}
    result = facts | {"output": str(directory.directory("output"))}
    if not processes.is_main():
        return result
    weights = policy_directory.weights(inputs.base)
    policy_directory.publish(
        directory.directory("output"),
        _provenance(directory, inputs, facts | {"hyperparameters": dict(hyperparameters)}),
        base=inputs.base,
        state=weights | adapter.merged_matrices(weights),
        served=directory.served,
        adapter=adapter,
    )
    return result


def _judge(folder: Path) -> dict[str, Any]:
    made_up = reward_model.read_config(folder).get("made_up_pairs", 0)
    return {"reward model": folder.name, "made-up replies that it learnt as worst": made_up}


def _provenance(directory: RunDirectory, inputs: PolicyInputs, facts: Mapping[str, Any]) -> Provenance:
    algorithm = str(facts["algorithm"])
    how, libraries = BY_TINKER[algorithm] if "trained_by" in facts else HOW[algorithm]
    simulated = inputs.snapshot.simulated
    by = "simulated annotators" if simulated else "the people who use the site"
    used = {
        **(_judge(directory.directory("reward_model")) if algorithm in REWARDED else {}),
        "snapshot": Path(directory["snapshot"]).name,
        "seed": directory.seed,
    }
    start = "" if inputs.start is None else f" It goes on from the adapter of `{inputs.start.policy}`."
    return Provenance(
        text=f"Tuned from `{{base}}` {how.format(by=by)}.{start} {FILES}",
        facts={**facts, **used},
        tags=(*libraries, algorithm, *(("simulated-feedback",) if simulated else ())),
    )
