"""The policy stage: trains a policy by our PPO or by TRL's RLOO or GRPO, and publishes its directory."""
