"""Garbage collection in a process that lives long: what was there when it began is not looked through again."""

import gc

THRESHOLDS = (10_000, 20, 20)
"""A write of hundreds of rows makes some thousand objects that live for it alone: with Python's own (700, 10, 10)
each such write brought the next full collection nearer. With 500 replies that was one a second, of 180 ms each."""


def settle() -> None:
    """To be called once, when everything is imported that a process needs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
