"""Markdown as HTML that is safe to show, with formulas, task lists and coloured code, and with nothing left out."""
