"""The policy stage: PPO, or TRL's own trainers as its peers, to a published policy directory."""
