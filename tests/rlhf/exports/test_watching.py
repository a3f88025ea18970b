"""Exports for Langfuse and MLflow are as their pages describe them, and lose no judgement."""

import json

import jsonschema
import pytest
from django.utils import timezone

from feedback.models import CompletionThumb, Ranking, Violation
from rlhf.exports import langfuse, mlflow
from rlhf.exports.judged_replies import judged_replies
from rlhf.exports.watching import WATCHING
from rlhf.snapshots.rows import Frozen
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call
from tests.rlhf.exports.exported import export

pytestmark = pytest.mark.django_db
TEXT, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)$"}
HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def of(required, **optional):
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


TRACE = of({"id": HEX}, timestamp=TIME, name=TEXT, input={}, output={}, metadata={}, tags={"items": TEXT})
SCORE = of(
    {"name": TEXT, "value": {"type": "number"}, "traceId": HEX},
    id=TEXT,
    dataType={"enum": ["NUMERIC", "BOOLEAN"]},
    metadata={"type": "object"},
)
EVENT = {
    "oneOf": [
        of({"id": TEXT, "timestamp": TIME, "type": {"const": "trace-create"}, "body": TRACE}),
        of({"id": TEXT, "timestamp": TIME, "type": {"const": "score-create"}, "body": SCORE}),
    ]
}
LANGFUSE = of({"batch": {"type": "array", "items": EVENT, "minItems": 1}})
"""https://api.reference.langfuse.com/#tag/ingestion/post/api/public/ingestion"""
ASSESSMENT = of(
    {
        "assessment_name": {"type": "string", "pattern": r"^[^.]+$"},
        "source": of({"source_type": {"enum": ["HUMAN", "LLM_JUDGE", "CODE"]}, "source_id": TEXT}),
        "feedback": of({"value": {"type": ["number", "boolean", "string"]}}),
        "create_time": TIME,
        "last_update_time": TIME,
    },
    assessment_id=TEXT,
    trace_id=TEXT,
    metadata=TEXTS,
)
MLFLOW = of(
    {
        "info": of(
            {
                "trace_id": {"type": "string", "pattern": "^tr-[0-9a-f]{32}$"},
                "trace_location": of(
                    {"type": {"const": "MLFLOW_EXPERIMENT"}, "mlflow_experiment": of({"experiment_id": TEXT})}
                ),
                "request_time": TIME,
                "state": {"enum": ["STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"]},
            },
            request_preview=TEXT,
            response_preview=TEXT,
            trace_metadata=TEXTS,
            tags=TEXTS,
            assessments={"type": "array", "items": ASSESSMENT},
        ),
        "data": of({"spans": {"type": "array"}}),
    }
)
"""mlflow.entities.Trace, and mlflow/protos/assessments.proto"""
SCHEMAS = {"langfuse": LANGFUSE, "mlflow": MLFLOW}


@pytest.fixture
def judgements(home):
    ann = feedback_rows.annotator("Hildegard")
    for number in range(3):
        made = feedback_rows.rank(ann, number)
        feedback_rows.flag(made)
        CompletionThumb.objects.create(completion=made.task.completions.first(), annotator=ann, is_up=False)
    return ann


def written(path, key):
    call("export_judgements", "--format", key, "--output", str(path))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("key", WATCHING)
def test_each_line_is_as_the_page_says(judgements, tmp_path, key):
    lines = written(tmp_path / "all.jsonl", key)
    for line in lines:
        jsonschema.validate(line, SCHEMAS[key])
    assert "Hildegard" not in json.dumps(lines)
    assert written(tmp_path / "again.jsonl", key) == lines, "what is sent twice is the same"


def test_no_judgement_is_lost(judgements, tmp_path):
    wanted = 4 * Ranking.objects.count() + Violation.objects.count() + CompletionThumb.objects.count()
    events = [event for line in written(tmp_path / "a.jsonl", "langfuse") for event in line["batch"]]
    scores = [event for event in events if event["type"] == "score-create"]
    traces = {event["body"]["id"] for event in events if event["type"] == "trace-create"}
    assert len({event["body"]["id"] for event in scores}) == len(scores) == wanted
    assert {event["body"]["traceId"] for event in scores} == traces
    assessments = [one for line in written(tmp_path / "b.jsonl", "mlflow") for one in line["info"]["assessments"]]
    assert len(assessments) == wanted


def test_values_say_what_the_person_said(judgements):
    reply = next(one for one in judged_replies(Frozen(timezone.now())) if one.text == feedback_rows.TEXTS[0])
    values = {one.name: one.value for one in reply.judgements}
    assert values == {"rank": 1.0, "thumb": False}
    (trace, *scores) = next(langfuse.lines([reply]))["batch"]
    assert trace["body"]["output"] == reply.text
    assert {(one["body"]["name"], one["body"]["value"], one["body"]["dataType"]) for one in scores} == {
        ("rank", 1.0, "NUMERIC"),
        ("thumb", 0.0, "BOOLEAN"),
    }
    (line,) = mlflow.lines([reply])
    found = {one["assessment_name"]: one["feedback"]["value"] for one in line["info"]["assessments"]}
    assert found == {"rank": 1.0, "thumb": False}


def test_batches_stay_below_the_limit(judgements, monkeypatch):
    replies = judged_replies(Frozen(timezone.now()))
    whole = [event for line in langfuse.lines(replies) for event in line["batch"]]
    monkeypatch.setattr(langfuse, "MOST_BYTES", 4000)
    lines = list(langfuse.lines(replies))
    assert len(lines) > 1
    assert [event for line in lines for event in line["batch"]] == whole
    assert all(len(json.dumps(line["batch"])) <= 4000 + 2 * len(line["batch"]) for line in lines)


@pytest.mark.parametrize("key", WATCHING)
def test_a_folder_says_how_to_hand_it_on_and_parquet_is_refused(judgements, tmp_path, key):
    folder = export(tmp_path / "out", key, "jsonl")
    assert {path.name for path in folder.iterdir()} == {"README.md", f"{key}.jsonl"}
    assert f"{key}.jsonl" in (folder / "README.md").read_text()
    parquet = tmp_path / "all.parquet"
    code, _told = call("export_judgements", "--format", key, "--as", "parquet", "--output", str(parquet))
    assert code == 1
    assert not parquet.exists()


@pytest.mark.parametrize("key", WATCHING)
def test_of_nothing_there_is_nothing(home, tmp_path, key):
    assert written(tmp_path / "none.jsonl", key) == []
