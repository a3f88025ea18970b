"""Reads exported records of Argilla: rankings of fields, and choices between two of them.

A record has `fields`, of which one is the prompt and the others are replies, and `responses` by question, each with
the id of who answered. A ranking names fields with their ranks; a label or a rating names the better field. Records
of both layouts are read: {"question": [{"value", "user_id"}]}, and of version 1 [{"user_id", "values"}].
"""

from collections.abc import Iterator, Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.judgements import Circumstances, ImportedRanking, ImportedReply, Judgement, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine

PROMPTS = ("prompt", "instruction", "question", "input", "chat", "conversation", "messages", "context")
Answer = tuple[object, object]
"""(who answered, value)"""


def read(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    fields = values.mapping(line.get("fields"), "fields")
    name = next((name for name in PROMPTS if name in fields), None)
    if name is None:
        raise UnusableLine(LeftOutReason.MISSING, "fields.prompt")
    prompt = values.prompt(values.turns(fields[name], name))
    replies = {key: value for key, value in fields.items() if key != name and isinstance(value, str)}
    answers = list(_answers(line.get("responses")))
    if not answers:
        raise UnusableLine(LeftOutReason.NO_JUDGEMENT)
    for answer in answers:
        try:
            yield _ranking(prompt, replies, answer)
        except UnusableLine as error:
            yield error


def _answers(responses: object) -> Iterator[Answer]:
    if isinstance(responses, list):  # version 1
        for response in responses:
            given = values.mapping(response, "responses")
            if given.get("status", "submitted") == "submitted":
                for one in values.mapping(given.get("values"), "responses.values").values():
                    yield given.get("user_id"), values.mapping(one, "responses.values").get("value")
        return
    for of_question in values.mapping(responses, "responses").values():
        for response in values.items(of_question, "responses"):
            given = values.mapping(response, "responses")
            if given.get("status", "submitted") == "submitted":
                yield given.get("user_id"), given.get("value")


def _ranking(prompt: list[Turn], replies: Mapping[str, str], answer: Answer) -> ImportedRanking:
    person, value = answer
    places = _places(value, replies)
    said = Circumstances(annotator=values.optional(person, "user_id"))
    return ImportedRanking(
        prompt,
        [ImportedReply(values.text(replies[name], name)) for name in places],
        values.ranks([*places.values()]),
        said,
    )


def _places(value: object, replies: Mapping[str, str]) -> dict[str, int]:
    """Place of each reply by the name of its field."""
    if isinstance(value, str):  # the better one of two
        if value not in replies or len(replies) != 2:
            raise UnusableLine(LeftOutReason.NO_CHOICE)
        return {name: 1 if name == value else 2 for name in replies}
    places: dict[str, int] = {}
    for one in values.items(value, "value"):
        ranked = values.mapping(one, "value")
        name = values.optional(ranked.get("value"), "value")
        if name not in replies or name in places:
            raise UnusableLine(LeftOutReason.RANKS)
        places[name] = values.whole(ranked.get("rank"), "rank", low=1)
    return places
