"""Evaluation of a policy against a baseline on held-out prompts, beside controls that expose cheap wins."""
