"""Pages of the lecture."""
