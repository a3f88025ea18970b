"""The lecture stage: prepares a corpus, and teaches it to each family of models that is asked for.

Each part is a directory with a manifest, published when it is whole; a stage that was stopped goes on with the rest.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rlhf.training.artefacts import checkpoints
from rlhf.training.lecture import corpus, teaching_counts, teaching_networks
from rlhf.training.lecture.material import CorpusDirectory, prepare
from rlhf.training.run import RunDirectory

CORPUS = "corpus"
Teacher = Callable[[RunDirectory, CorpusDirectory, Path], dict[str, Any]]
"""Publishes a family's directory; its figures."""
NETWORKS = ("rnn", "lstm", "gpt", "bert")
TEACHERS: dict[str, Teacher] = {"counting": teaching_counts.teach}
TEACHERS |= {family: partial(teaching_networks.teach, family) for family in NETWORKS}


class UnknownFamily(ValueError):
    """A family of models that nobody teaches here."""


def run(directory: RunDirectory) -> dict[str, Any]:
    output, families = directory.directory("output"), list(directory["families"])
    for family in families:
        if family not in TEACHERS:
            raise UnknownFamily(f"{family}: known are {', '.join(TEACHERS)}")
    material = _corpus(directory, output)
    taught = {}
    for family in families:
        directory.stop_if_asked()
        taught[family] = TEACHERS[family](directory, material, output / family)
    return {"corpus": material.facts, "families": taught}


def _corpus(directory: RunDirectory, output: Path) -> CorpusDirectory:
    """That of an earlier run on the same text, else of this run before it was stopped, else made now."""
    earlier = directory.config.get("corpus")
    if earlier:
        return CorpusDirectory(Path(earlier))
    target = output / CORPUS
    if not _is_whole(target):
        directory.report(0, 0, {})
        blocks = corpus.read(str(directory["source"]), output, partial(_downloading, directory, [0.0]))
        checkpoints.publish(partial(prepare, blocks), target, base=str(directory["title"]))
    return CorpusDirectory(target)


def _downloading(directory: RunDirectory, last: list[float], done: int, total: int | None) -> None:
    directory.stop_if_asked()
    if time.monotonic() - last[0] > 1:
        last[0] = time.monotonic()
        directory.report(0, 0, {"bytes": done, "bytes_total": total})


def _is_whole(target: Path) -> bool:
    try:
        checkpoints.verify(target)
    except checkpoints.Damaged:
        return False
    return True
