"""Exports for programs that watch replies: which there are, and writing one as a file of JSON lines."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf.exports import langfuse, mlflow
from rlhf.exports.judged_replies import WatchedReply, judged_replies
from rlhf.snapshots.rows import Frozen

WATCHING: Mapping[str, Callable[[Iterable[WatchedReply]], Iterator[dict[str, Any]]]] = {
    "langfuse": langfuse.lines,
    "mlflow": mlflow.lines,
}
HOW: Mapping[str, str] = {
    "langfuse": """Each line is the body of one request to Langfuse's ingestion API. To send them all:

    while read -r line; do
      printf '%s' "$line" | curl --fail -u "$LANGFUSE_PUBLIC_KEY:$LANGFUSE_SECRET_KEY" \\
        -H 'Content-Type: application/json' --data-binary @- "$LANGFUSE_HOST/api/public/ingestion"
    done < langfuse.jsonl
""",
    "mlflow": """Each line is a trace of MLflow 3 with its assessments. To read them:

    import json
    from mlflow.entities import Trace
    traces = [Trace.from_dict(json.loads(line)) for line in open("mlflow.jsonl")]

`trace.info.assessments` are the judgements; `mlflow.log_assessment(trace_id, assessment)` logs one to a trace.
""",
}


def write(path: Path, format_key: str, frozen: Frozen, project: str | None) -> tuple[dict[str, int], str]:
    """Returns how many replies and judgements are in it, and the file's sha256."""
    replies = judged_replies(frozen, project)
    with path.open("wb") as file:
        for line in WATCHING[format_key](replies):
            file.write(json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n")
    return _counted(replies), hashlib.sha256(path.read_bytes()).hexdigest()


def write_with_words(
    folder: Path, format_key: str, frozen: Frozen, project: str | None
) -> tuple[dict[str, int], str]:
    """The same, with a page that says how to hand it on."""
    counts, sha256 = write(folder / f"{format_key}.jsonl", format_key, frozen, project)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    people = "Annotators are pseudonyms. In what people wrote in chats, names, addresses and numbers are masked."
    text = f"# {format_key}.jsonl\n\n{told}; sha256 {sha256}. {people}\n\n{HOW[format_key]}"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return counts, sha256


def _counted(replies: list[WatchedReply]) -> dict[str, int]:
    names = Counter(one.name for reply in replies for one in reply.judgements)
    people = {one.annotator for reply in replies for one in reply.judgements}
    flags = sum(count for name, count in names.items() if name.startswith("breaks_"))
    return {
        "rows": names.total(),
        "replies": len(replies),
        "ranks": names["rank"],
        "flags": flags,
        "thumbs": names["thumb"],
        "annotators": len(people),
    }
