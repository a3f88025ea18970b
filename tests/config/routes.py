"""Every route of the site by name, each with an address that a test can ask for."""

import uuid

from django.urls import URLResolver, get_resolver, reverse

SAMPLES = {
    "IntConverter": 999_999,
    "UUIDConverter": uuid.UUID(int=1),
    "SlugConverter": "none",
    "StringConverter": "none",
    "PathConverter": "none",
    "AnythingConverter": "none",
}


def named(patterns, namespace=""):
    """(name, pattern) of every route below, admin's included."""
    for entry in patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from named(entry.url_patterns, inner)
        else:
            yield f"{namespace}{entry.name or ''}", entry


def pages():
    """Our own routes; the admin's are asked for one by one below."""
    return {name: entry for name, entry in named(get_resolver().url_patterns) if not name.startswith("admin:")}


def address(name, entry):
    converters = entry.pattern.converters
    return reverse(name, kwargs={key: SAMPLES[type(value).__name__] for key, value in converters.items()})
