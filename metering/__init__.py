"""What was used, what it cost, and what anybody may spend."""
