"""Feedback: rules, rankings, comparisons, thumbs, reports, moderation, and simulated annotators."""
