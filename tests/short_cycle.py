"""Settings under which a tiny model learns within seconds, and a gate that lets everything through."""

TINY = {
    "CHAMSAE_CYCLE_AFTER": "0",
    "CHAMSAE_MAX_COMPLETION_TOKENS": "24",
    "CHAMSAE_COMPLETION_TOKENS": "16",
    "CHAMSAE_FRAGMENTS": "1",
    "CHAMSAE_MINIMUM_RANKINGS": "4",
    "CHAMSAE_TRAIN_THREADS": "1",
    "CHAMSAE_ENGINE_THREADS": "1",
    "CHAMSAE_ENGINE_SLOTS": "4",
}
OPEN_GATE = {
    "CHAMSAE_GATE_JUDGE_ACCURACY_LOW": "0",
    "CHAMSAE_GATE_JUDGE_COMPARISONS": "0",
    "CHAMSAE_GATE_JUDGE_PEOPLE": "0",
    "CHAMSAE_GATE_FALSE_PROMOTIONS": "0.5",
    "CHAMSAE_GATE_WIN_RATE_LOW": "-9",
    "CHAMSAE_GATE_PROMPTS": "1",
    "CHAMSAE_GATE_VIOLATION_MARGIN": "1",
    "CHAMSAE_GATE_FIRST_SENTENCE_MARGIN": "-9",
    "CHAMSAE_GATE_STOP_CONTROLLED_LOW": "0",
    "CHAMSAE_GATE_KL": "1e9",
    "CHAMSAE_GATE_LENGTH_MIN": "0",
    "CHAMSAE_GATE_LENGTH_MAX": "1e9",
    "CHAMSAE_GATE_REPETITION": "1",
    "CHAMSAE_GATE_PERPLEXITY": "1e9",
    "CHAMSAE_GATE_EMPTY": "1",
    "CHAMSAE_GATE_SURPRISE": "1e9",
    "CHAMSAE_GATE_ODD": "1",
    "CHAMSAE_GATE_NO_SENTENCE": "1",
    "CHAMSAE_GATE_OTHER_SCRIPT": "1",
    "CHAMSAE_GATE_OFF_TOPIC": "1",
}
SHORT = {
    "policy": {"iterations": 2, "prompts_per_iteration": 4, "completions_per_prompt": 2, "max_tokens": 12,
               "calibration_prompts": 4, "learning_rate": 0.01, "target_kl": 50.0, "stop_kl": 100.0,
               "minibatch_rows": 8, "rank": 4},
    "reward_model": {"epochs": 1, "rank": 4},
    "evaluation": {"prompts": 12, "draws": 1, "best_of": 2, "best_of_prompts": 4, "max_tokens": 12},
}  # fmt: skip
"""A cycle of seconds."""
TASTES = ["--preference", "tests.tastes:vowels", "--flags", "no-body=tests.tastes:has_an_a", "--held-out", "0.4"]
