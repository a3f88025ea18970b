"""The process that claims queued replies, streams them from engines and stores their text."""
