"""Pages of own data and own models."""
