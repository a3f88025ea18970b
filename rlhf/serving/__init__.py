"""Reward models at work while replies are written: which one judges a policy, and the process that scores with it."""
