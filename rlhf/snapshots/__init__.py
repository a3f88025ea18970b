"""Snapshots: feedback frozen for a run in files, with the weight of each judgement, under one hash."""
