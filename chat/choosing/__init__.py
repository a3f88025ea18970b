"""Chooses the reply that is shown among several completions, and keeps those back that the rule model refuses."""
