"""Hosts that share a storage: each has folders of its own, and one is in force at a time."""

from contextlib import contextmanager
from pathlib import Path

from django.core.files.storage import FileSystemStorage
from django.test import override_settings

FOLDERS = {"models": "MODELS_DIR", "runs": "RUNS_DIR", "uploads": "UPLOADS_DIR"}


def in_a_folder(location: Path):
    """STORAGES with a folder as what hosts share."""
    from config import services

    return services.shared_state(f"file://{location}", "")


class AwayStorage(FileSystemStorage):
    """Whatever is asked of it ends in this error."""

    error = OSError("no route to the storage")

    def _fail(self, *given, **more):
        raise self.error

    open = save = delete = listdir = size = get_modified_time = exists = _fail


AWAY = {"shared": {"BACKEND": "tests.base.shared_hosts.AwayStorage"}}
"""STORAGES with a storage that does not respond."""


@contextmanager
def on_host(home: Path, storage):
    """Everything in the block happens on the host with that home."""
    from django.conf import settings

    folders = {setting: home / name for name, setting in FOLDERS.items()}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    shared = {name: settings.STORAGES[name] for name in ("default", "staticfiles")} | storage
    with override_settings(HOME=home, STORAGES=shared, **folders):
        inside = settings._wrapped
        yield home
        # what the fixture of settings changed in here would be undone later, and bring this host's folders back
        assert settings._wrapped is inside, "settings were changed on a host; do it before, or by override_settings"
