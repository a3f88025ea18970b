"""Finds the real base policy, for tests that need it."""

import functools
from pathlib import Path

MODELS = Path(__file__).parent.parent / "var/models"


@functools.cache
def fetched_policy():
    """Directory of the real base policy where `make run` or `fetch_model` left one."""
    return next((manifest.parent for manifest in sorted(MODELS.glob("*/manifest.json"))), None)
