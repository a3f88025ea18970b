"""Annotators that are programs: a known taste with a stated share of mistakes."""
