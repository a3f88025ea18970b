"""Endpoints of the API, and the pages of the API's description and of aliases."""
