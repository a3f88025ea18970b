"""Feedback frozen for a run: which rows may train, with which weights, under one hash."""
