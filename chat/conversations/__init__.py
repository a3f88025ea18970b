"""Conversations: their turns, branches, titles, list, search, sharing, and files."""
