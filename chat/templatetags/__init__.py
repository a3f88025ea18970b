"""Template filters for texts of people and models, and tags that pages of other apps use."""
