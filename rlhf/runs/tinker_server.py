"""The Tinker server that trains by RLOO and GRPO: what a training process is told of it, and whether it can train."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

from chat.models import Policy
from rlhf import labels
from rlhf.errors import TinkerUnfit
from rlhf.lineage import adapter_root
from rlhf.models import Run
from rlhf.runs import launchers

KEY = "tinker"
"""In a training process's config.json (rlhf.training.policy.by_tinker)."""
LOOK_S = 5.0
SECRET = "CHAMSAE_TINKER_KEY"  # noqa: S105 (the name of a variable)


def config(run: Run) -> dict[str, Any]:
    """Nothing where the training process learns itself."""
    return {KEY: {"url": settings.RLHF_TINKER_URL}} if trains(run.algorithm) else {}


def trains(algorithm: str) -> bool:
    return bool(settings.RLHF_TINKER_URL) and algorithm in labels.BY_TINKER


def secrets(config: Mapping[str, Any]) -> Collection[str]:
    """The variable that this training process needs all the same: the key is in no file."""
    return (SECRET,) if KEY in config else ()


def refuse(live: Policy) -> None:
    """Raises TinkerUnfit, BadPolicy."""
    if not launchers.chosen().is_here or launchers.launch().processes > 1:
        raise TinkerUnfit(_("CHAMSAE_TRAINER must be local"))
    if adapter_root(live) != live:
        raise TinkerUnfit(
            _("the live policy is an adapter, and the protocol has no way to send it to the server to go on from")
        )
    if reason := _trouble(live):
        raise TinkerUnfit(reason)


def _trouble(live: Policy) -> str:
    """What keeps the server from training now, for people."""
    host, name = urlsplit(settings.RLHF_TINKER_URL).netloc.rpartition("@")[2], live.directory.rpartition("/")[2]
    try:
        bases = _bases()
    except httpx.TransportError:
        return _("%(host)s does not respond") % {"host": host}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return _("%(host)s does not speak the protocol, or has another key (CHAMSAE_TINKER_KEY)") % {"host": host}
    if any(base.rstrip("/").rpartition("/")[2] == name for base in bases):
        return ""
    return _("%(host)s has no %(name)s, only %(others)s") % {"host": host, "name": name, "others": ", ".join(bases)}


def _bases() -> list[str]:
    """The names of the models that it trains."""
    headers = {"X-API-Key": settings.RLHF_TINKER_KEY} if settings.RLHF_TINKER_KEY else {}
    url = f"{settings.RLHF_TINKER_URL.rstrip('/')}/api/v1/get_server_capabilities"
    answer = httpx.get(url, headers=headers, timeout=LOOK_S).raise_for_status().json()
    return [str(one["model_name"]) for one in answer["supported_models"]]
