"""Webhooks: tell other programs of feedback as it happens, signed, retried, and without anybody's name."""
