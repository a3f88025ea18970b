"""Directories of models, runs and uploads for one test alone, and a trainer that it can wait for."""

import sys
from datetime import timedelta


def use_own_directories(settings, tmp_path, *, trainer):
    """`trainer`: a program that stands in for the training process."""
    for name in ("MODELS_DIR", "RUNS_DIR", "ROLLOUTS_DIR", "UPLOADS_DIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        setattr(settings, name, folder)
    settings.RLHF_TRAINER = [sys.executable, str(trainer)]
    settings.RLHF_LEASE = timedelta(seconds=3)
    settings.RLHF_THREADS = 1
    return tmp_path
