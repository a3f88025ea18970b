"""Recomputes the figures of an exported evaluation report from its replies: `python recompute.py report.json`.

It needs nothing but numpy and knows nothing of the site. Exit code 1: a figure is not what the report says.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-9
DRAWS, SEED = 2000, 0
Z95 = 1.959963984540054
Reply = dict[str, Any]


def main(path: str) -> int:
    report = json.loads(Path(path).read_text())
    if report["replies"] is None:
        sys.stderr.write("the report holds no replies: the files of its run were removed or changed\n")
        return 2
    wrong = 0
    found = list(recomputed(report["replies"], report["figures"]))
    found += _by_people(report.get("comparisons") or [], report["replies"], report["figures"].get("people") or {})
    for name, value in found:
        told = _told(report["figures"], name)
        same = told is value or (told is not None and value is not None and abs(told - value) <= TOLERANCE)
        wrong += not same
        sys.stdout.write(f"{'same ' if same else 'WRONG'}  {name}: {told} reported, {value} recomputed\n")
    return 1 if wrong else 0


def recomputed(replies: list[Reply], figures: dict[str, Any]) -> Iterable[tuple[str, float | None]]:
    """(name, value) of each figure that the replies determine; a part of a name after a dot is a key within."""
    after, before = _side(replies, "after"), _side(replies, "before")
    best = _side(replies, "best_of")
    draws = 1 + max(reply["draw"] for reply in after if reply["competes"])
    competing, standing = [r for r in after if r["competes"]], [r for r in before if r["competes"]]
    other = [{**r, "draw": r["draw"] - draws} for r in before if not r["competes"]]
    whole, cut = "score", "first_sentence_score"
    yield from _named("win_rate", "win_rate_", _wins(competing, standing, whole, whole))
    for name, pairs in {
        "null": _wins(other, standing, whole, whole),
        "first_sentence": _wins(other, standing, cut, whole),
        "best_of_8": _wins(best, standing, whole, whole),
        "stop_controlled": _wins(competing, standing, cut, cut),
    }.items():
        yield from _named(f"controls.{name}.win_rate", f"controls.{name}.", pairs)
    yield from _violations("before", before, figures)
    yield from _violations("after", after, figures)
    yield from _texts(after, before, _side(replies, "base") or before)
    if anchor := _side(replies, "anchor"):
        yield from _against_anchor(after, anchor)


def _by_people(
    answers: list[Reply], replies: list[Reply], told: dict[str, Any]
) -> Iterable[tuple[str, float | None]]:
    """Of the blind comparisons: alone and, where the report has that, together with the judge's scores."""
    if not told:
        return
    yield "people.n", len(answers)
    yield "people.people", len({answer["person"] for answer in answers})
    yield "people.simulated", sum(answer["simulated"] for answer in answers)
    alone = (
        _wider(*(_interval([(a["won"], a[key]) for a in answers]) for key in ("person", "prompt"))) if answers else ()
    )
    yield from zip(("people.win_rate", "people.low", "people.high"), alone or (None, None, None), strict=True)
    if not told.get("combined"):
        return
    judged = _wins(_competing(replies, "after"), _competing(replies, "before"), "score", "score")
    seen = {answer["prompt"] for answer in answers}
    rest = [(won, prompt) for won, prompt in judged if prompt not in seen]
    both = _wider(*(_powered(answers, rest, key) for key in ("person", "prompt"))) if rest else alone
    names = ("people.combined.win_rate", "people.combined.low", "people.combined.high")
    yield from zip(names, both, strict=True)


def _competing(replies: list[Reply], side: str) -> list[Reply]:
    return [reply for reply in _side(replies, side) if reply["competes"]]


def _powered(answers: list[Reply], rest: list[tuple[float, int]], key: str) -> tuple[float, float, float]:
    """The judge's mean on pairs that nobody compared, plus the mean difference between people and judge on the others
    (prediction-powered inference, Angelopoulos et al. 2023), with variances over clusters."""
    corrections = [(answer["won"] - answer["predicted"], answer[key]) for answer in answers]
    value = sum(float(np.mean([one for one, _ in part])) for part in (rest, corrections))
    half = Z95 * float(np.sqrt(_variance(rest) + _variance(corrections)))
    return value, max(0.0, value - half), min(1.0, value + half)


def _variance(values: list[tuple[float, int]]) -> float:
    """Of the mean over clusters."""
    middle = float(np.mean([value for value, _ in values]))
    names = {cluster for _, cluster in values}
    if len(names) < 2:
        return float("inf")
    parts = [sum(value - middle for value, cluster in values if cluster == name) for name in names]
    return len(names) / (len(names) - 1) * sum(part**2 for part in parts) / len(values) ** 2


def _wider(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    return one if one[2] - one[1] > other[2] - other[1] else other


def _violations(side: str, replies: list[Reply], figures: dict[str, Any]) -> Iterable[tuple[str, float | None]]:
    picked = [r for r in replies if r["elicits"] is not None] or replies
    for name, of, key in (
        ("violation_rate", picked, "broken"),
        ("first_sentence_violation_rate", picked, "first_sentence_broken"),
        ("all_prompts_violation_rate", replies, "broken"),
    ):
        known = [(float(bool(r[key])), r["prompt"]) for r in of if r[key] is not None]
        yield from _named(f"{name}_{side}", f"{name}_{side}_", known)
    for rule in figures[f"violation_rate_by_rule_{side}"]:
        hits = [float(rule in reply["broken"]) for reply in picked]
        yield f"violation_rate_by_rule_{side}.{rule}", sum(hits) / len(hits)


def _texts(after: list[Reply], before: list[Reply], base: list[Reply]) -> Iterable[tuple[str, float | None]]:
    drifted = [r for r in after if r["surprise_nats"] is not None]
    ours, theirs = _surprise(drifted), _surprise([r for r in base if r["surprise_nats"] is not None])
    yield "kl_nats", _mean(drifted, lambda r: r["kl_nats"])
    yield "surprise_nats", ours
    yield "surprise_nats_base", theirs
    yield "surprise_ratio", ours / theirs if theirs else None
    yield "length_ratio", _mean(after, lambda r: r["tokens"]) / _mean(before, lambda r: r["tokens"])
    yield "repetition", _mean(after, lambda r: r["repetition"])
    yield "empty_rate", _mean(after, lambda r: r["empty"])


def _against_anchor(after: list[Reply], anchor: list[Reply]) -> Iterable[tuple[str, float | None]]:
    drifted = [r for r in after if r["surprise_nats"] is not None]
    ours = _surprise(drifted, "anchor_surprise_nats")
    theirs = _surprise([r for r in anchor if r["surprise_nats"] is not None])
    yield "anchor_kl_nats", _mean(drifted, lambda r: r["anchor_kl_nats"])
    yield "anchor_surprise_nats", ours
    yield "anchor_surprise_nats_base", theirs
    yield "anchor_surprise_ratio", ours / theirs if theirs else None
    yield "anchor_length_ratio", _mean(after, lambda r: r["tokens"]) / _mean(anchor, lambda r: r["tokens"])
    picked = [r for r in anchor if r["elicits"] is not None] or anchor
    known = [(float(bool(r["broken"])), r["prompt"]) for r in picked if r["broken"] is not None]
    yield from _named("anchor_violation_rate", "anchor_violation_rate_", known)


def _side(replies: list[Reply], side: str) -> list[Reply]:
    return [reply for reply in replies if reply["side"] == side]


def _wins(ones: list[Reply], others: list[Reply], key: str, other_key: str) -> list[tuple[float, int]]:
    """(1 for a win, 0.5 for a tie, 0 for a loss; the prompt) of each pair of like draws."""
    against = {(reply["prompt"], reply["draw"]): reply[other_key] for reply in others}
    won = []
    for reply in ones:
        score, other = reply[key], against[reply["prompt"], reply["draw"]]
        won.append((0.5 if score == other else float(score > other), reply["prompt"]))
    return won


def _named(name: str, bounds: str, values: list[tuple[float, int]]) -> Iterable[tuple[str, float | None]]:
    found = _interval(values) if values else (None, None, None)
    yield from zip((name, f"{bounds}low", f"{bounds}high"), found, strict=True)


def _interval(values: list[tuple[float, int]]) -> tuple[float, float, float]:
    """The mean, with bounds from resampling whole prompts; Wilson's over prompts where that has no width."""
    order = list(dict.fromkeys(prompt for _value, prompt in values))
    total = np.array([sum(value for value, prompt in values if prompt == one) for one in order])
    size = np.array([sum(1 for _value, prompt in values if prompt == one) for one in order])
    picks = np.random.default_rng(SEED).integers(0, len(order), (DRAWS, len(order)))
    low, high = np.quantile(total[picks].sum(1) / size[picks].sum(1), [0.025, 0.975])
    mean = float(total.sum() / size.sum())
    if low == high and mean in (0.0, 1.0):
        n, z2 = len(order), Z95**2
        middle = (mean + z2 / (2 * n)) / (1 + z2 / n)
        half = Z95 / (1 + z2 / n) * float(np.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n)))
        return mean, max(0.0, middle - half), min(1.0, middle + half)
    return mean, float(low), float(high)


def _surprise(replies: list[Reply], key: str = "surprise_nats") -> float:
    """Nats a token over all of them."""
    return float(sum(r[key] for r in replies)) / float(sum(r["tokens"] for r in replies))


def _mean(replies: list[Reply], of: Callable[[Reply], float]) -> float:
    return float(sum(float(of(reply)) for reply in replies)) / len(replies)


def _told(figures: dict[str, Any], name: str) -> Any:
    value: Any = figures
    for key in name.split("."):
        value = value[key]
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
