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
    for name, value in recomputed(report["replies"], report["figures"]):
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
    anchor = _side(replies, "anchor")
    if anchor:
        yield from _against_anchor(after, anchor)
    if "odd_share" in figures:  # of version 0.3 and later
        yield from _tails(after, anchor or _side(replies, "base") or before, "anchor_" if anchor else "")


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


def _tails(after: list[Reply], anchor: list[Reply], prefix: str) -> Iterable[tuple[str, float | None]]:
    """Shares of replies past the anchor's own percentiles, and of those that answer worse in form than it does."""
    first, own = ([r for r in side if r["surprise_nats"] is not None] for side in (after, anchor))
    surprise = float(np.quantile([r["surprise_nats"] / r["tokens"] for r in own], 0.99))
    window = float(np.quantile([r["worst_window_nats"] for r in own], 0.99))
    topics = [r["topic_nats"] for r in own if r["topic_nats"] is not None]
    topic = float(np.quantile(topics, 0.01)) if topics else None
    yield from (("odd_limit_nats", surprise), ("odd_window_limit_nats", window), ("off_topic_limit_nats", topic))
    nats, worst, near = (f"{prefix}{name}" for name in ("surprise_nats", "worst_window_nats", "topic_nats"))
    odd = [(float(r[nats] / r["tokens"] > surprise or r[worst] > window), r["prompt"]) for r in first]
    off = [(float(r[near] < topic), r["prompt"]) for r in first if topic is not None and r[near] is not None]
    yield from _named("odd_share", "odd_share_", odd)
    yield from _named("off_topic_share", "off_topic_share_", off)
    of_prompt: dict[int, list[Reply]] = {}
    for reply in anchor:
        of_prompt.setdefault(reply["prompt"], []).append(reply)
    speaks = {at: 2 * sum(r["has_sentence"] for r in found) > len(found) for at, found in of_prompt.items()}
    for name, side in (("no_sentence_share", after), ("no_sentence_share_anchor", anchor)):
        silent = [(float(speaks[r["prompt"]] and not r["has_sentence"]), r["prompt"]) for r in side]
        yield from _named(name, f"{name}_", silent)
    known = {at: {None, *(r["script"] for r in found)} for at, found in of_prompt.items()}
    other = [(float(r["script"] not in {*known[r["prompt"]], r["prompt_script"]}), r["prompt"]) for r in after]
    yield from _named("other_script_share", "other_script_share_", other)


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
