"""Pages of judging: for annotators, for moderators, and the reactions in the chat."""
