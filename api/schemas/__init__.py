"""Pydantic models of requests and answers: they check requests, and the OpenAPI document is generated from them."""
