"""Probing: people try to make a policy break one rule, and others, who are not told, judge what came of it."""
