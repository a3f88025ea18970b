"""Settings under which each way trains a tiny policy within seconds."""

PPO = {
    "iterations": 2,
    "prompts_per_iteration": 4,
    "completions_per_prompt": 2,
    "max_tokens": 8,
    "minibatch_rows": 4,
    "calibration_prompts": 4,
    "rank": 2,
    "learning_rate": 3e-3,
    "stop_kl": 50.0,
}
PEER = {
    "steps": 2,
    "prompts_per_step": 2,
    "num_generations": 2,
    "max_completion_length": 6,
    "rank": 2,
    "learning_rate": 1e-2,
    "stop_kl": 50.0,
    "calibration_prompts": 4,
}
FITTED = {
    "rank": 2,
    "max_tokens": 12,
    "adapted_layers": 2,
    "learning_rate": 1e-3,
    "stop_kl": 50.0,
    "kl_prompts": 4,
    "kl_checks": 2,
    "checkpoint_seconds": 0.0,
}
BEST = FITTED | {"n": 2, "rounds": 2, "prompts_per_round": 4, "batch_size": 2, "calibration_prompts": 4}
EVERY = [
    ("ppo", PPO),
    ("rloo", PEER),
    ("grpo", PEER),
    ("dpo", FITTED),
    ("sft", FITTED),
    ("kto", FITTED),
    ("best_of_n", BEST),
]
