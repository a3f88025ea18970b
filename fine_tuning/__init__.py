"""People's own data, and the models that are fine-tuned on it."""
