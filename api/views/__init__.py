"""Endpoints of the API, and the pages that describe it."""
