"""Policies that win without being better: what each does to the base's own replies, and the gate's answer to it."""
