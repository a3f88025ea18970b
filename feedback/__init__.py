"""Judging: rules, rankings, flags, thumbs, reports, and what moderators decide."""
