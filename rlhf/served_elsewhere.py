"""Whether replies come from a model that this site cannot train: then the loop is off."""

from django.conf import settings

from rlhf.errors import ServedElsewhere


def refuse() -> None:
    """Raises ServedElsewhere where servers elsewhere have one model for whatever policy is live: replies would bear
    the name of a policy that did not write them."""
    if settings.CHAT_ENGINE_URLS and settings.CHAT_ENGINE_MODEL:
        raise ServedElsewhere(settings.CHAT_ENGINE_MODEL, ", ".join(settings.CHAT_ENGINE_URLS))
