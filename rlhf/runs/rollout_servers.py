"""The servers that sample for a training: what a training process is told of them, and what a dead one left there."""

import asyncio
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from base.model_server import ServerClient
from rlhf import labels
from rlhf.models import Run

KEY = "rollouts"
"""In a training process's config.json (rlhf.training.rollouts.servers)."""
RUN = "run-"
"""Before a run's id: its folder in ROLLOUTS_DIR."""
SECRET = "CHAMSAE_ROLLOUT_KEY"  # noqa: S105 (the name of a variable)


def config(run: Run, base: str) -> dict[str, Any]:
    """Nothing where the training process samples itself. `base`: directory name of the policy without an
    adapter, under which servers list it."""
    if not settings.RLHF_ROLLOUT_URLS or run.algorithm not in labels.BY_SERVERS:
        return {}
    folder, seen_at = Path(settings.ROLLOUTS_DIR), settings.RLHF_ROLLOUT_ADAPTERS
    told = {
        "urls": settings.RLHF_ROLLOUT_URLS,
        "base": base,
        "prefix": prefix(run.pk),
        "folder": str(folder / f"{RUN}{run.pk}"),
        "seen_at": f"{seen_at.rstrip('/') or folder}/{RUN}{run.pk}",
    }
    return {KEY: told}


def prefix(run_id: int) -> str:
    """Of the names of a run's adapters: servers may sample for several sites, which count their runs alike."""
    site = salted_hmac("rlhf.runs.rollout_servers", "site", algorithm="sha256").hexdigest()[:8]
    return f"rollout-{site}-{run_id}-"


def secrets(config: Mapping[str, Any]) -> Collection[str]:
    """The variables that this training process needs all the same: the key is in no file, and no other has it."""
    return (SECRET,) if KEY in config else ()


def tidy(told: Mapping[str, Any]) -> None:
    """After a training process, which may have been killed: its adapters leave the servers and the disk. `told`: what
    `config` has under KEY."""
    asyncio.run(_take_off(told["urls"], told["prefix"]))
    shutil.rmtree(told["folder"], ignore_errors=True)


def tidy_ended() -> None:
    """What runs that are over left because their supervisor died, too. The folder goes first: should somebody resume
    such a run now, its process writes another, and puts on the servers again what they lack."""
    left = {path.name.removeprefix(RUN): path for path in Path(settings.ROLLOUTS_DIR).glob(f"{RUN}*")}
    found = {int(number): path for number, path in left.items() if number.isdecimal()}
    live = Run.objects.filter(pk__in=found, state__in=Run.LIVE).values_list("pk", flat=True)
    for run_id in found.keys() - set(live):
        shutil.rmtree(found[run_id], ignore_errors=True)
        asyncio.run(_take_off(settings.RLHF_ROLLOUT_URLS, prefix(run_id)))


def troubles(base: str) -> dict[str, str]:
    """By server, what keeps it from sampling now; `base` as in `config`."""
    looked = asyncio.run(_look(settings.RLHF_ROLLOUT_URLS, base))
    return {url: trouble for url, trouble in zip(settings.RLHF_ROLLOUT_URLS, looked, strict=True) if trouble}


async def _look(urls: list[str], base: str) -> list[str]:
    clients = [ServerClient(url, settings.RLHF_ROLLOUT_KEY) for url in urls]
    found = await asyncio.gather(*(_trouble(client, base) for client in clients))
    await asyncio.gather(*(client.close() for client in clients))
    return found


async def _trouble(client: ServerClient, base: str) -> str:
    models = await client.models()
    if models is None and await client.has_another_key():
        return "has another key (CHAMSAE_ROLLOUT_KEY)"
    if models is None or not await client.is_well():
        return "does not answer" if models is None else "is not healthy"
    return "" if base in models else f"does not have {base}, only {', '.join(sorted(models)) or 'nothing'}"


async def _take_off(urls: list[str], prefix: str) -> None:
    clients = [ServerClient(url, settings.RLHF_ROLLOUT_KEY) for url in urls]
    await asyncio.gather(*(client.unload_adapters(prefix) for client in clients))
    await asyncio.gather(*(client.close() for client in clients))
