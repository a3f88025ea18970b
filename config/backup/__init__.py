"""Backups: the whole state of a running site in one file that a passphrase opens, and the way back."""
