"""Curves of runs and pictures of intervals, as data for an SVG without style or script."""
