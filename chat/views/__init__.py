"""Pages and actions of the chat."""
