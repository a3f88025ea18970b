"""Pages of the chat, and the requests that their scripts make."""
