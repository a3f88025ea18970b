"""Reads Label Studio's JSON export: pairwise choices, and rankings of a list of items.

A task has `data` with the prompt and the replies, and `annotations` with who completed them. A pairwise result says
which side was selected; a ranker's result lists the ids of `data.items`, best first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.judgements import Circumstances, ImportedRanking, ImportedReply, Judgement, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine

PROMPTS = ("prompt", "question", "instruction", "input", "messages", "dialogue", "context")
PAIRS = (
    *(("answer1", "answer2"), ("answer_1", "answer_2"), ("response1", "response2"), ("response_1", "response_2")),
    *(("response_a", "response_b"), ("answer_a", "answer_b"), ("text1", "text2"), ("left", "right")),
    *(("completion_a", "completion_b"), ("completion1", "completion2"), ("model_a", "model_b")),
)
SELECTED = {"left": [1, 2], "right": [2, 1], "none": [1, 1], "equal": [1, 1], "both": [1, 1], "tie": [1, 1]}


def read(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    data = values.mapping(line.get("data"), "data")
    name = next((name for name in PROMPTS if name in data), None)
    if name is None:
        raise UnusableLine(LeftOutReason.MISSING, "data.prompt")
    prompt = values.prompt(values.turns(data[name], name))
    results = list(_results(line))
    if not results:
        raise UnusableLine(LeftOutReason.NO_JUDGEMENT)
    for result, said in results:
        try:
            yield _judgement(prompt, data, result, said)
        except UnusableLine as error:
            yield error


def _results(line: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Circumstances]]:
    for one in values.items(line.get("annotations"), "annotations"):
        annotation = values.mapping(one, "annotations")
        if annotation.get("was_cancelled"):
            continue
        said = Circumstances(
            annotator=_person(annotation.get("completed_by")),
            seconds=max(0.0, values.number(annotation.get("lead_time"), "lead_time")),
        )
        for result in values.items(annotation.get("result", []), "result"):
            found = values.mapping(result, "result")
            if found.get("type") in ("pairwise", "ranker"):
                yield found, said


def _person(value: object) -> str:
    """A number, or the person with their address, of which only a hash is kept (feedback.imports.annotators)."""
    if isinstance(value, Mapping):
        value = value.get("id", value.get("email"))
    return values.optional(value, "completed_by")


def _judgement(
    prompt: list[Turn], data: Mapping[str, Any], result: Mapping[str, Any], said: Circumstances
) -> ImportedRanking:
    value = values.mapping(result.get("value"), "value")
    if result["type"] == "pairwise":
        return _pair(prompt, data, result, value, said)
    ranked = value.get("ranker")
    if isinstance(ranked, Mapping):  # one column of the tag that shows them
        ranked = ranked.get("rank", next(iter(ranked.values()), None))
    order = [values.optional(one, "ranker") for one in values.items(ranked, "ranker")]
    texts = dict(_item(one) for one in values.items(data.get("items"), "data.items"))
    if set(order) != set(texts) or len(order) != len(texts):
        raise UnusableLine(LeftOutReason.RANKS)
    replies = [ImportedReply(texts[one]) for one in order]
    return ImportedRanking(prompt, replies, values.ranks(range(1, len(order) + 1)), said)


def _item(value: object) -> tuple[str, str]:
    item = values.mapping(value, "data.items")
    words = item.get("body", item.get("text", item.get("html")))
    return values.optional(item.get("id"), "data.items.id"), values.text(words, "data.items.body")


def _pair(
    prompt: list[Turn],
    data: Mapping[str, Any],
    result: Mapping[str, Any],
    value: Mapping[str, Any],
    said: Circumstances,
) -> ImportedRanking:
    selected = value.get("selected")
    if not isinstance(selected, str) or selected not in SELECTED:
        raise UnusableLine(LeftOutReason.NO_CHOICE)
    names = _sides(data, result)
    replies = [ImportedReply(values.text(data[name], name)) for name in names]
    return ImportedRanking(prompt, replies, SELECTED[selected], said, shown=[0, 1])


def _sides(data: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the left and the right text among the data: those that the result names, else of a known template."""
    named = result.get("to_name")
    shown = named.split(",") if isinstance(named, str) else []
    pairs = [*([(shown[0], shown[1])] if len(shown) == 2 else []), *PAIRS]
    found = next((pair for pair in pairs if all(isinstance(data.get(name), str) for name in pair)), None)
    if found is None:
        raise UnusableLine(LeftOutReason.MISSING, "data.answer1")
    return found
