"""Reads Open-Assistant's message trees: each question with at least two ranked replies is one ranking.

A reply's `rank` counts from 0; it is the order on which the people who reviewed it agreed, so the source is one
annotator. Deleted replies, and those that the reviewers refused, are not compared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.judgements import Circumstances, ImportedRanking, ImportedReply, Judgement, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine


def read(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    waiting: list[tuple[Mapping[str, Any], list[Turn]]] = [(values.mapping(line.get("prompt"), "prompt"), [])]
    found = 0
    while waiting:
        node, above = waiting.pop()
        try:
            branch = [*above, _turn(node)]
            replies = [values.mapping(one, "replies") for one in values.items(node.get("replies", []), "replies")]
            ranked = [one for one in replies if _counts(one)]
            if branch[-1]["role"] == "user" and len(ranked) > 1:
                found += 1
                yield _ranking(branch, ranked, node)
        except UnusableLine as error:
            found += 1
            yield error
        else:
            waiting += [(reply, branch) for reply in reversed(replies)]
    if not found:
        raise UnusableLine(LeftOutReason.FEW_REPLIES)


def _turn(node: Mapping[str, Any]) -> Turn:
    role = node.get("role")
    if role not in ("prompter", "assistant"):
        raise UnusableLine(LeftOutReason.MISSING, "role")
    return {"role": values.ROLES[role], "content": values.text(node.get("text"), "text")}


def _counts(reply: Mapping[str, Any]) -> bool:
    rank = reply.get("rank")
    is_ranked = isinstance(rank, int) and not isinstance(rank, bool)
    return is_ranked and not reply.get("deleted") and reply.get("review_result") is not False


def _ranking(branch: list[Turn], ranked: list[Mapping[str, Any]], node: Mapping[str, Any]) -> ImportedRanking:
    return ImportedRanking(
        prompt=values.prompt(branch),
        replies=[
            ImportedReply(values.text(one.get("text"), "text"), values.optional(one.get("model_name"), "model_name"))
            for one in ranked
        ],
        ranks=values.ranks([one["rank"] for one in ranked]),
        said=Circumstances(language=values.language(node.get("lang"))),
    )
