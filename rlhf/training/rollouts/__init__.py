"""Completions to learn from: sampled here or by model servers, and how far the sampler is from what is trained."""
