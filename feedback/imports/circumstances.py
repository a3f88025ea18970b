"""Reads the columns that this site's own exports have beside each judgement: who judged, when, and how."""

from collections.abc import Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.judgements import Circumstances
from feedback.imports.reasons import LeftOutReason, UnusableLine
from feedback.models import Prompt


def circumstances(line: Mapping[str, Any]) -> Circumstances:
    split = values.optional(line.get("split"), "split")
    if split not in ("", *Prompt.Split.values):
        raise UnusableLine(LeftOutReason.MISSING, "split")
    return Circumstances(
        annotator=values.optional(line.get("annotator"), "annotator"),
        is_simulated=values.truth(line.get("simulated") or False, "simulated"),
        language=values.language(line.get("language")),
        split=split,
        seconds=max(0.0, values.number(line.get("seconds"), "seconds")),
        is_adjudication=values.truth(line.get("adjudicated") or False, "adjudicated"),
        guidelines_version=values.whole(line.get("guidelines_version"), "guidelines_version"),
    )
