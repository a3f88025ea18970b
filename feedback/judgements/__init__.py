"""Judgements of replies: rankings and their task queue, comparisons side by side, and thumbs."""
