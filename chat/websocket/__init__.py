"""The websocket of a conversation: it relays what others write."""
