"""The websocket of a conversation, which relays replies to its pages."""
