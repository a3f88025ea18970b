"""Pages of training files and fine-tuned models."""
