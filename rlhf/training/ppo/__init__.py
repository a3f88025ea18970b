"""PPO on the parts of the model, resumable after every iteration."""
