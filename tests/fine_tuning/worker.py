"""Runs what a test has queued, as the worker would."""

from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor


def drive(sent):
    """Drives each run whose id is in `sent`."""
    while sent:
        cycle.drive(sent.pop(0), Supervisor())
