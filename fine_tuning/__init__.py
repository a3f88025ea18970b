"""People's own training files, and the models that are fine-tuned on them."""
