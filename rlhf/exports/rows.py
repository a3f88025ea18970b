"""Rows of an export: the lines that a snapshot would hold now, with the columns of the format asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rlhf.exports.columns import FORMATS
from rlhf.snapshots.frozen_row import Line
from rlhf.snapshots.rows import Frozen


def rows(frozen: Frozen, format_key: str, project: str | None = None) -> Iterator[Line]:
    """Each with all columns of the format, and none beside. `project`: the key of one; None: of all."""
    columns = FORMATS[format_key]
    for line in SOURCES[format_key](frozen):
        if project is None or line.get("project") == project:
            yield {name: line.get(name) for name in columns} | {"adjudicated": bool(line.get("adjudicated"))}


def _rankings(frozen: Frozen) -> Iterator[Line]:
    for line in frozen.rankings:
        replies = zip(line["completions"], line["policies"], strict=True)
        margins = [
            {"better": better, "worse": worse, "margin": float(margin)}
            for better, worse, margin in line.get("margins", [])
        ]
        completions = [{**reply, "policy": policy} for reply, policy in replies]
        yield {**line, "id": str(line["id"]), "completions": completions, "margins": margins}


def _flags(frozen: Frozen) -> Iterator[Line]:
    for line in frozen.violations:
        completion = {**line["completion"], "policy": line["policy"]}
        yield {**line, "completion": completion, "label": bool(line["label"])}


def _ratings(frozen: Frozen) -> Iterator[Line]:
    for line in frozen.ratings:
        replies = zip(line["completions"], line["policies"], strict=True)
        yield {**line, "completions": [{**reply, "policy": policy} for reply, policy in replies]}


def _taught(frozen: Frozen) -> Iterator[Line]:
    """What a policy is taught to write, each once: what people wrote and corrected, then the best completion of each
    ranking, one that is better than another of its prompt."""
    seen: set[tuple[str, str]] = set()
    for line in frozen.demonstrations:
        key = (repr(line["prompt"]), line["completion"][0]["content"])
        if key not in seen:
            seen.add(key)
            yield line
    yield from _chosen(frozen, seen)


def _chosen(frozen: Frozen, seen: set[tuple[str, str]]) -> Iterator[Line]:
    for line in frozen.rankings:
        best = line["ranks"].index(1) if 1 in line["ranks"] else None
        if best is None or len(set(line["ranks"])) == 1:
            continue
        text = line["completions"][best]["text"]
        key = (repr(line["prompt"]), text)
        if text.strip() and key not in seen:
            seen.add(key)
            completion = [{"role": "assistant", "content": text}]
            yield {**line, "completion": completion, "source": "ranking", "policy": line["policies"][best]}


SOURCES: Mapping[str, Callable[[Frozen], Iterable[Line]]] = {
    "rankings": _rankings,
    "flags": _flags,
    "trl-preference": lambda frozen: frozen.preferences,
    "trl-kto": lambda frozen: frozen.unpaired,
    "demonstrations": lambda frozen: frozen.demonstrations,
    "ratings": _ratings,
    "sft": _taught,
}


def counted(found: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many there are of each side and kind, and how many people made them."""
    listed = list(found)
    return {
        "rows": len(listed),
        "train": sum(row["split"] == "train" for row in listed),
        "held_out": sum(row["split"] == "held_out" for row in listed),
        "annotators": len({row["annotator"] for row in listed}),
        "simulated": sum(bool(row["simulated"]) for row in listed),
        "imported": sum(bool(row["imported_from"]) for row in listed),
    }
