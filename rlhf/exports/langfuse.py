"""Judgements for Langfuse: requests of its ingestion API, with a trace a reply and a score a judgement.

The format: https://api.reference.langfuse.com/#tag/ingestion/post/api/public/ingestion ("Batched ingestion": events
`trace-create` and `score-create`, at most 3.5 MB a batch) and
https://langfuse.com/docs/evaluation/evaluation-methods/scores-via-sdk (types of scores). Each line is the body of one
POST to `/api/public/ingestion`. Ids come from the content, so that a line that is sent twice changes nothing.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rlhf.exports.judged_replies import ReplyJudgement, WatchedReply

MOST_BYTES = 3_000_000
"""Below the 3.5 MB of the API; one reply that is longer is alone in its batch."""
Event = dict[str, Any]


def lines(replies: Iterable[WatchedReply]) -> Iterator[dict[str, Any]]:
    batch, size = list[Event](), 0
    for reply in replies:
        events = list(_events(reply))
        added = len(json.dumps(events, ensure_ascii=False).encode(errors="replace"))
        if batch and size + added > MOST_BYTES:
            yield {"batch": batch}
            batch, size = [], 0
        batch, size = [*batch, *events], size + added
    if batch:
        yield {"batch": batch}


def _events(reply: WatchedReply) -> Iterator[Event]:
    at = reply.at.isoformat()
    body = {
        "id": reply.key,
        "timestamp": at,
        "name": "reply",
        "input": list(reply.prompt),
        "output": reply.text,
        "metadata": dict(reply.about),
        "tags": [reply.about["project"]],
    }
    yield {"id": f"trace-{reply.key}", "type": "trace-create", "timestamp": at, "body": body}
    for judgement in reply.judgements:
        yield _score(reply, judgement)


def _score(reply: WatchedReply, judgement: ReplyJudgement) -> Event:
    body = {
        "id": judgement.key,
        "traceId": reply.key,
        "name": judgement.name,
        "value": float(judgement.value),
        "dataType": "BOOLEAN" if isinstance(judgement.value, bool) else "NUMERIC",
        "metadata": {
            **judgement.about,
            "annotator": judgement.annotator,
            "simulated": str(judgement.is_simulated).lower(),
        },
    }
    at = judgement.at.isoformat()
    return {"id": f"score-{judgement.key}", "type": "score-create", "timestamp": at, "body": body}
