"""`manage.py publish_state`: puts what is on this host alone into the state that hosts share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import CommandParser

from base import shared_state
from base.commands import ChamsaeCommand, Exit
from chat import policies
from chat.models import Policy
from fine_tuning.models import DataFile
from rlhf.models import Run, Snapshot


class NothingShared(Exception):
    code = "nothing_shared"

    def __str__(self) -> str:
        return "CHAMSAE_SHARED_STATE is empty: this host's folders are the state, and there is nothing to publish to"


class NotHere(Exception):
    code = "not_here"


class Command(ChamsaeCommand):
    help = (
        "Uploads policies, snapshots, reward models and uploads of this host that the shared state does not have: "
        "once after CHAMSAE_SHARED_STATE was set, or for those named."
    )
    examples = """
        manage.py publish_state
        manage.py publish_state --again models/run-5
    """
    failures = (NotHere,)
    nothing = (NothingShared,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keys", nargs="*", metavar="KEY", help="as fsck and errors name it: models/run-5")
        parser.add_argument("--again", action="store_true", help="upload also what is there with the same list")
        super().add_arguments(parser)

    def handle(self, *args: Any, keys: list[str], again: bool, **options: Any) -> None:
        if not shared_state.is_on():
            raise NothingShared
        paths = [_named(key) for key in keys] if keys else [path for path in _everything() if path.exists()]
        with self.progress("Publishing") as meter:
            for step, path in enumerate(paths):
                meter(step, len(paths), path.name)
                shared_state.publish(path, again=again)
            meter(len(paths), len(paths))
        told = [shared_state.key_of(path) for path in paths]
        self.finish({"published": told}, Exit.DONE, f"{len(told)} in the shared state")


def _named(key: str) -> Path:
    try:
        path = shared_state.path_of(key)
    except ValueError as error:
        raise NotHere(str(error)) from error
    if not path.exists():
        raise NotHere(f"{path} is not on this host")
    return path


def _everything() -> Iterator[Path]:
    """What rows speak of."""
    for policy in Policy.objects.filter(is_scripted=False, retired_at=None).exclude(directory=""):
        yield policies.directory(policy)
    for snapshot in Snapshot.objects.filter(erased_at=None):
        yield snapshot.path
    for run in Run.objects.filter(state=Run.State.SUCCEEDED):
        if run.kind == Run.Kind.REWARD_MODEL:
            yield run.reward_model_path
        if run.kind == Run.Kind.EVALUATION:
            yield from sorted(path for path in run.path.glob("*.jsonl") if path.name != "metrics.jsonl")
    for file in DataFile.objects.all():
        yield file.path
