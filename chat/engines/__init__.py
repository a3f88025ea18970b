"""Engines, which generate text: the interface, its four implementations, and their child processes."""
