"""Turns the messages of a conversation into the token ids of a prompt."""
