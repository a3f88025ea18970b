"""Our PPO, resumable after every iteration."""
