"""Ratings of policies from people's choices between their replies."""
