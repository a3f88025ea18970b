"""What the pages of the chat show of a person's own feedback."""
