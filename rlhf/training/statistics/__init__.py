"""Estimates with their uncertainty: intervals, ranks, a judge's calibration, prediction-powered means."""

from rlhf.training.statistics.intervals import (
    Z95,
    ClusterMean,
    Interval,
    auc,
    cluster_bootstrap,
    cluster_mean,
    correlation,
    ranks_with_ties,
    wider,
    wilson,
)
from rlhf.training.statistics.prediction_powered import ppi_mean
from rlhf.training.statistics.two_shares import rise

__all__ = [
    "Z95",
    "ClusterMean",
    "Interval",
    "auc",
    "cluster_bootstrap",
    "cluster_mean",
    "correlation",
    "ppi_mean",
    "ranks_with_ties",
    "rise",
    "wider",
    "wilson",
]
