"""Training pages: whoever is signed in may read the figures, moderators the logs; admins may act."""
