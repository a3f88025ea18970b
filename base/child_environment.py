"""The environment of child processes that compute and need no access to the site: without its secrets."""

import os
from collections.abc import Collection, Mapping

HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""They open gated models to whoever holds them; only what fetches a model needs one."""
RAY_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 (the name of a variable)
"""With it one runs any command in the cluster; only what sends jobs there needs it."""
SECRETS = (
    "CHAMSAE_SECRET_KEY",
    "CHAMSAE_SECRET_KEY_FALLBACKS",
    "CHAMSAE_ENGINE_KEY",
    "CHAMSAE_ROLLOUT_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "DJANGO_SETTINGS_MODULE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_S3_ACCESS_KEY_ID",
    "AWS_S3_SECRET_ACCESS_KEY",
    *HUB_TOKENS,
    RAY_TOKEN,
)


def child_environment(more: Mapping[str, str], *, needed: Collection[str] = ()) -> dict[str, str]:
    """This process's environment without the secrets but those that are `needed`, and `more`."""
    left_out = set(SECRETS).difference(needed)
    return {name: value for name, value in os.environ.items() if name not in left_out} | dict(more)
