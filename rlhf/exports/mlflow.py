"""Judgements for MLflow 3: a trace a reply, with the judgements as its assessments.

The format is that of `TraceInfo.to_dict`
(https://mlflow.org/docs/latest/api_reference/_modules/mlflow/entities/trace_info.html) and `Assessment.to_dictionary`
(https://mlflow.org/docs/latest/api_reference/_modules/mlflow/entities/assessment.html), the JSON of the message
`Assessment` of mlflow/protos/assessments.proto. Each line is a trace as `Trace.from_dict` of mlflow.entities reads
it; its assessments can be logged to traces of one's own by `mlflow.log_assessment`.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from rlhf.exports.judged_replies import ReplyJudgement, WatchedReply

EXPERIMENT = "0"
"""MLflow's default one; whoever logs the traces may name another."""


def lines(replies: Iterable[WatchedReply]) -> Iterator[dict[str, Any]]:
    for reply in replies:
        yield {"info": _info(reply), "data": {"spans": []}}


def _info(reply: WatchedReply) -> dict[str, Any]:
    return {
        "trace_id": _trace_id(reply),
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": EXPERIMENT}},
        "request_time": _timestamp(reply.at),
        "state": "OK",
        "request_preview": json.dumps(list(reply.prompt), ensure_ascii=False),
        "response_preview": reply.text,
        "trace_metadata": {f"chamsae.{name}": value for name, value in reply.about.items()},
        "tags": {"mlflow.traceName": "reply"},
        "assessments": [_assessment(reply, one) for one in reply.judgements],
    }


def _assessment(reply: WatchedReply, judgement: ReplyJudgement) -> dict[str, Any]:
    at = _timestamp(judgement.at)
    return {
        "assessment_id": f"a-{judgement.key}",
        "assessment_name": judgement.name,
        "trace_id": _trace_id(reply),
        "source": {
            "source_type": "CODE" if judgement.is_simulated else "HUMAN",
            "source_id": judgement.annotator,
        },
        "create_time": at,
        "last_update_time": at,
        "feedback": {"value": judgement.value},
        "metadata": dict(judgement.about),
    }


def _trace_id(reply: WatchedReply) -> str:
    return f"tr-{reply.key}"


def _timestamp(at: datetime) -> str:
    """As protobuf writes one in JSON: in UTC, with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
