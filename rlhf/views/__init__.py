"""Pages of training: moderators read, admins act."""
