"""The reward model: a preference head and a rule head on one adapter."""
