"""Asks a child process for the probability of each token of a reply."""
