"""What was reported, who decides on it, and what follows for texts and people."""
