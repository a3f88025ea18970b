"""Training by a Tinker server, against one that samples from a tiny model and learns."""
