"""A policy against a baseline on held-out prompts, beside the controls that unmask cheap wins."""
