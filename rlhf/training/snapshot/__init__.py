"""A snapshot as the numeric core reads it: its files, and its prompts cut to the context."""
