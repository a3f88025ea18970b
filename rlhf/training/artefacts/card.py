"""The model card of a policy directory: where its weights come from and what made them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(folder: Path, *, title: str, front: Mapping[str, Any], text: str, facts: Mapping[str, Any]) -> None:
    """Write README.md: YAML front matter as the hub reads it, a paragraph, and a table of facts."""
    # JSON strings and lists are YAML, so that no value can break out of its line.
    head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in front.items())
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items())
    card = f"---\n{head}\n---\n\n# {title}\n\n{text}\n\n| | |\n|---|---|\n{rows}\n"
    (folder / "README.md").write_text(card)


def front_matter(folder: Path) -> dict[str, Any]:
    """The values that `write` put at the head of a card; empty where a card has none."""
    path = folder / "README.md"
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines or lines[0] != "---":
        return {}
    values: dict[str, Any] = {}
    for line in lines[1:]:
        if line == "---":
            break
        name, _, value = line.partition(": ")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value.strip()
    return values


def metadata(folder: Path) -> dict[str, Any]:
    """The front matter of any card, as the hub's library reads its YAML; empty where there is none or it is bad."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    path = folder / "README.md"
    try:
        return (metadata_load(path) or {}) if path.exists() else {}
    except (OSError, ValueError, YAMLError):
        return {}


def as_list(value: Any) -> list[str]:
    """Of a field that cards give as one word or as a list; YAML reads Norwegian, `no`, as false."""
    values = value if isinstance(value, list) else [value]
    return ["no" if word is False else word for word in values if word is False or isinstance(word, str)]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "\\|").replace("\n", " ")
