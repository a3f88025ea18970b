"""Policies of tests: installs them in the models directory, and swaps the live one."""

import hashlib
import json
import shutil

from django.conf import settings
from django.db import transaction

from chat import policies
from chat.models import Policy


def install(tiny_policy, name, is_live=False):
    """The tiny policy as a registered one of the models directory."""
    target = settings.MODELS_DIR / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(tiny_policy, target)
    policy = policies.register(target, name=name, source="test")
    Policy.objects.filter(pk=policy.pk).update(is_live=is_live)
    policy.refresh_from_db()
    return policy


def swap(old, new):
    """Makes the new policy live in the place of the old one."""
    with transaction.atomic():
        Policy.objects.filter(pk=old.pk).update(is_live=False)
        Policy.objects.filter(pk=new.pk).update(is_live=True)


def install_adapter(tiny_policy, name, base, rank=16):
    """A registered policy whose adapter changes `base`; no two names have the same weights."""
    target = settings.MODELS_DIR / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(tiny_policy, target)
    folder = target / policies.ADAPTER
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(f"weights of {name}".encode())
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "layers_to_transform": [2, 3]}))
    (folder / "base.json").write_text(json.dumps({"base": base.directory, "base_sha256": "0" * 64}))
    manifest = json.loads((target / policies.MANIFEST).read_text())
    for file in folder.iterdir():
        content = file.read_bytes()
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest["files"][f"{policies.ADAPTER}/{file.name}"] = entry
    (target / policies.MANIFEST).write_text(json.dumps(manifest))
    return policies.register(target, name=name, source="test", base=base)
