"""The columns of each exported format with their types, for the card's YAML and for Parquet."""

from collections.abc import Mapping
from typing import Any

Type = str | list[Any] | dict[str, Any]
"""A type's name, [type of the items], or {name: type}."""
Columns = Mapping[str, Type]

TURNS: Type = [{"role": "string", "content": "string"}]
REPLY: Type = {"text": "string", "finish_reason": "string", "policy": "string"}
ABOUT: Columns = {
    "split": "string",
    "weight": "float64",
    "project": "string",
    "annotator": "string",
    "simulated": "bool",
    "adjudicated": "bool",
    "imported_from": "string",
    "guidelines_version": "int64",
    "language": "string",
    "consent": "string",
    "consent_version": "int64",
}
"""What every judgement has: its weight in training, who judged, under which guidelines, by what it may train."""

FORMATS: Mapping[str, Columns] = {
    "rankings": {
        "id": "string",
        "prompt": TURNS,
        "completions": [REPLY],
        "ranks": ["int64"],
        "shown": ["int64"],
        "margins": [{"better": "int64", "worse": "int64", "margin": "float64"}],
        **ABOUT,
        "seconds": "float64",
    },
    "flags": {
        "id": "string",
        "prompt": TURNS,
        "completion": REPLY,
        "rule": "string",
        "rule_text": "string",
        "label": "bool",
        "probe": "string",
        **ABOUT,
    },
    "trl-preference": {
        "prompt": TURNS,
        "chosen": TURNS,
        "rejected": TURNS,
        "margin": "float64",
        "ranking": "string",
        "chosen_policy": "string",
        "rejected_policy": "string",
        "shown": ["int64"],
        **ABOUT,
        "seconds": "float64",
    },
    "trl-kto": {
        "prompt": TURNS,
        "completion": TURNS,
        "label": "bool",
        "policy": "string",
        "reasons": ["string"],
        **ABOUT,
    },
    "demonstrations": {
        "id": "string",
        "prompt": TURNS,
        "completion": TURNS,
        "original": "string",
        "source": "string",
        "policy": "string",
        **ABOUT,
        "seconds": "float64",
    },
    "ratings": {
        "id": "string",
        "prompt": TURNS,
        "completions": [REPLY],
        "attributes": ["string"],
        "ratings": [["int64"]],
        "shown": ["int64"],
        **ABOUT,
        "seconds": "float64",
    },
    "sft": {"prompt": TURNS, "completion": TURNS, "source": "string", "policy": "string", **ABOUT},
}


def features(columns: Columns) -> list[dict[str, Any]]:
    """As the YAML head of a card names them (`dataset_info.features`)."""
    return [{"name": name, **_feature(kind)} for name, kind in columns.items()]


def _feature(kind: Type) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"dtype": kind}
    if isinstance(kind, dict):
        return {"struct": features(kind)}
    (of_items,) = kind
    if isinstance(of_items, list):
        return {"list": _feature(of_items)}
    inner = features(of_items) if isinstance(of_items, dict) else of_items
    return {"list": inner}


def schema(columns: Columns) -> Any:
    """The same for Arrow. Needs pyarrow."""
    import pyarrow

    return pyarrow.schema([(name, _arrow(kind)) for name, kind in columns.items()])


def _arrow(kind: Type) -> Any:
    import pyarrow

    if isinstance(kind, dict):
        return pyarrow.struct([(name, _arrow(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pyarrow.list_(_arrow(kind[0]))
    return {"string": pyarrow.string(), "int64": pyarrow.int64(), "float64": pyarrow.float64()}.get(
        kind, pyarrow.bool_()
    )
