"""Conversations: turns, the tree of messages, side-by-side replies, titles, search, sharing, import and export."""
