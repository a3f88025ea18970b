"""Engines, which generate text: the interface, its implementations, and their child processes."""
