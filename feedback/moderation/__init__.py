"""Moderation: reports, the review queue, what moderators do, and what follows for texts and people."""
