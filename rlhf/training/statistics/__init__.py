"""Estimates with their uncertainty: intervals, ranks, a judge's calibration, prediction-powered means."""

from rlhf.training.statistics.intervals import (
    Interval,
    auc,
    cluster_bootstrap,
    correlation,
    ranks_with_ties,
    wider,
    wilson,
)
from rlhf.training.statistics.prediction_powered import ppi_mean

__all__ = [
    "Interval",
    "auc",
    "cluster_bootstrap",
    "correlation",
    "ppi_mean",
    "ranks_with_ties",
    "wider",
    "wilson",
]
