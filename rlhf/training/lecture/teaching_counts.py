"""Teaches the counting family: counts n-grams, publishes the table, and measures it on the held-out text."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rlhf.training.artefacts import checkpoints
from rlhf.training.lecture import arrays, counting, measuring
from rlhf.training.lecture.counting import CountTable
from rlhf.training.lecture.material import CorpusDirectory
from rlhf.training.lecture.tokens import Ids
from rlhf.training.run import RunDirectory

COUNTS, FIGURES = "counts.safetensors", "figures.json"
SHARES = (0.03, 0.1, 0.3, 1.0)
"""Of the training text, for the curve over text."""
CURVE_ORDER = 3
MODELS = ("unigram", "2-gram", "3-gram", "4-gram", "kneser-ney 2", "kneser-ney 3", "kneser-ney 5")
PLAIN_ORDERS = {"unigram": 1, "2-gram": 2, "3-gram": 3, "4-gram": 4}
SMOOTHED_ORDERS = {"kneser-ney 2": 2, "kneser-ney 3": 3, "kneser-ney 5": 5}


def teach(directory: RunDirectory, material: CorpusDirectory, target: Path) -> dict[str, Any]:
    """{model: figures}, and the curve over text."""
    if not (target / FIGURES).exists():
        checkpoints.publish(partial(_fill, directory, material), target)
    found: dict[str, Any] = json.loads((target / FIGURES).read_text())
    return found


def _fill(directory: RunDirectory, material: CorpusDirectory, folder: Path) -> None:
    steps = 1 + len(MODELS) + len(SHARES)
    began = time.process_time()
    tokens, starts = material.training
    table = counting.count(tokens, starts, material.vocabulary.size)
    fit_s = time.process_time() - began
    arrays.write(folder / COUNTS, table.arrays())
    found: dict[str, Any] = {}
    for step, name in enumerate(MODELS, start=1):
        directory.stop_if_asked()
        directory.report(step, steps, {})
        found[name] = {**_measured(table, material, name), "seconds": round(fit_s, 3)}
    curve = []
    for step, share in enumerate(SHARES, start=1 + len(MODELS)):
        directory.stop_if_asked()
        directory.report(step, steps, {})
        curve.append(_at(share, material))
    directory.report(steps, steps, {})
    figures = {"models": found, "curve": curve}
    (folder / FIGURES).write_text(json.dumps(figures, indent=1))


def _measured(table: CountTable, material: CorpusDirectory, name: str) -> dict[str, Any]:
    tokens, starts = material.held_out
    order = {**PLAIN_ORDERS, **SMOOTHED_ORDERS}[name]
    score = table.score_frequencies if name in PLAIN_ORDERS else table.score
    entries = table.entries(order)
    measured = measuring.figures(score(tokens, starts, order), int(material.facts["held_out_characters"]))
    return {**measured, "parameters": entries, "bytes": 16 * entries}


def _at(share: float, material: CorpusDirectory) -> dict[str, Any]:
    """Kneser-Ney from a part of the training text."""
    tokens, starts = _part(share, *material.training)
    table = counting.count(tokens, starts, material.vocabulary.size, CURVE_ORDER)
    held_out = table.score(*material.held_out, CURVE_ORDER)
    characters = int(material.facts["held_out_characters"])
    return {"share": share, "tokens": len(tokens), **measuring.figures(held_out, characters)}


def _part(share: float, tokens: Ids, starts: Ids) -> tuple[Ids, Ids]:
    """Every so many blocks, so that a part is of the whole text and not of its beginning."""
    bounds = np.append(starts, len(tokens))
    step = max(1, round(1 / share))
    chosen = list(_ranges(bounds, step))
    lengths = [end - start for start, end in chosen]
    return np.concatenate([tokens[start:end] for start, end in chosen]), np.cumsum([0, *lengths[:-1]])


def _ranges(bounds: Ids, step: int) -> Iterator[tuple[int, int]]:
    for place in range(0, len(bounds) - 1, step):
        yield int(bounds[place]), int(bounds[place + 1])
