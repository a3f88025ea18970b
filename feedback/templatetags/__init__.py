"""Template tags for a person's own feedback in the chat."""
