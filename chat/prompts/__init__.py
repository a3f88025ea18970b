"""From the messages of a conversation to the token ids of a prompt."""
