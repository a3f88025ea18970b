"""Where text comes from: what an engine is, the four kinds there are, and their child processes."""
