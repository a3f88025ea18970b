"""Our Llama for training: a frozen trunk that runs once, an adapted top, LoRA, and a sampler."""
