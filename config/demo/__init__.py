"""The demonstration: a state of its own, what it learns from, and its report."""
