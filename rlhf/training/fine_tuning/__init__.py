"""The fine_tune stage: trains a policy on a person's own rows, by supervised learning, DPO or PPO."""
