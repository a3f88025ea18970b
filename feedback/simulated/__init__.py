"""Simulated annotators: programs that judge by a known preference with a stated share of mistakes."""
