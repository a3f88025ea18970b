"""The demo: its own state, what it learns from, the floors of its figures, and its report."""
