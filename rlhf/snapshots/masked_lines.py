"""Masks what people wrote in a line of a snapshot: its prompt and its completions."""

from typing import Any

from feedback.masking.masker import Masker, masked_turns


def mask_line(line: dict[str, Any], masker: Masker) -> None:
    """In place. Idempotent, so that a line whose prompt was masked when its task was made stays as it is."""
    line["prompt"] = masked_turns(line["prompt"], masker)
    for reply in line.get("completions", ()):
        reply["text"] = masker.masked(reply["text"])
    if line.get("original"):  # of a correction
        line["original"] = masker.masked(line["original"])
    completion = line.get("completion")
    if isinstance(completion, dict):
        completion["text"] = masker.masked(completion["text"])
    elif completion is not None:
        line["completion"] = masked_turns(completion, masker)
