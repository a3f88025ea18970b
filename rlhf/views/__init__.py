"""Training pages: moderators may read, admins may act."""
