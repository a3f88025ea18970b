"""The token ids that end a completion: those of config.json and those of generation_config.json."""

import json
from pathlib import Path
from typing import Any


def end_ids(directory: Path) -> tuple[int, ...]:
    """Each once, config.json's first; a field is one id, several, or absent."""
    found: list[int] = []
    for name in ("config.json", "generation_config.json"):
        path = directory / name
        raw: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        field = raw.get("eos_token_id", (raw.get("text_config") or {}).get("eos_token_id"))
        found += [] if field is None else [field] if isinstance(field, int) else field
    return tuple(dict.fromkeys(found))
