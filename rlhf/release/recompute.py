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
JUDGE_SEED, BINS, LEAST_IN_A_BIN = 1, 10, 10
Reply = dict[str, Any]
Row = dict[str, Any]


def main(path: str) -> int:
    report = json.loads(Path(path).read_text())
    if report["replies"] is None:
        sys.stderr.write("the report holds no replies: the files of its run were removed or changed\n")
        return 2
    if "judge_slope" in report["figures"] and report.get("judgements") is None:
        sys.stderr.write("the report lacks what its judge said of held-out judgements: that file was removed\n")
        return 2
    wrong = 0
    for name, value in recomputed(report["replies"], report["figures"], report.get("judgements")):
        told = _told(report["figures"], name)
        same = told is value or (told is not None and value is not None and abs(told - value) <= TOLERANCE)
        wrong += not same
        sys.stdout.write(f"{'same ' if same else 'WRONG'}  {name}: {told} reported, {value} recomputed\n")
    return 1 if wrong else 0


def recomputed(
    replies: list[Reply], figures: dict[str, Any], judgements: list[Row] | None = None
) -> Iterable[tuple[str, float | None]]:
    """(name, value) of each figure that the replies and what the judge said of held-out judgements determine; a part
    of a name after a dot is a key within."""
    judge = None if judgements is None else MeasuredJudge(judgements)
    after, before = _side(replies, "after"), _side(replies, "before")
    best = _side(replies, "best_of")
    draws = 1 + max(reply["draw"] for reply in after if reply["competes"])
    competing, standing = [r for r in after if r["competes"]], [r for r in before if r["competes"]]
    other = [{**r, "draw": r["draw"] - draws} for r in before if not r["competes"]]
    whole, cut = "score", "first_sentence_score"
    pairs = _differences(competing, standing, whole, whole)
    yield from _preferred("win_rate", "win_rate_", pairs, judge)
    if judge is not None:
        yield "win_rate_judge_sd", judge.error(pairs)
        yield from judge.figures()
    for name, pairs in {
        "null": _differences(other, standing, whole, whole),
        "first_sentence": _differences(other, standing, cut, whole),
        "best_of_8": _differences(best, standing, whole, whole),
        "stop_controlled": _differences(competing, standing, cut, cut),
    }.items():
        yield from _preferred(f"controls.{name}.win_rate", f"controls.{name}.", pairs, judge)
    yield from _violations("before", before, figures)
    yield from _violations("after", after, figures)
    yield from _texts(after, before, _side(replies, "base") or before)
    if anchor := _side(replies, "anchor"):
        yield from _against_anchor(after, anchor)


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


def _differences(ones: list[Reply], others: list[Reply], key: str, other_key: str) -> list[tuple[float, int]]:
    """(score of the first less that of the other, the prompt) of each pair of like draws."""
    against = {(reply["prompt"], reply["draw"]): reply[other_key] for reply in others}
    return [(reply[key] - against[reply["prompt"], reply["draw"]], reply["prompt"]) for reply in ones]


def _preferred(
    name: str, bounds: str, pairs: list[tuple[float, int]], judge: "MeasuredJudge | None"
) -> Iterable[tuple[str, float | None]]:
    """1 for a win, 0.5 for a tie, 0 for a loss; of a judge that errs, the probability that a person prefers it."""
    if judge is not None and pairs:
        yield from zip((name, f"{bounds}low", f"{bounds}high"), judge.mean(pairs), strict=True)
        return
    yield from _named(name, bounds, [((1 + np.sign(difference)) / 2, prompt) for difference, prompt in pairs])


class MeasuredJudge:
    """What a reward model said of comparisons and labels that it did not learn from, and what follows from it."""

    def __init__(self, rows: list[Row]) -> None:
        self.comparisons = [row["comparison"] for row in rows if "comparison" in row]
        self.labels = [row["label"] for row in rows if "label" in row]
        self.margins = np.array([one["margin"] for one in self.comparisons])
        self.slope = _slope(self.margins, np.ones(len(self.margins)))
        keys = [key for key in ("group", "person") if key == "group" or len({o[key] for o in self.comparisons}) > 1]
        self.slopes = [self._slopes(key) for key in keys] if self.comparisons else []

    def _slopes(self, key: str) -> Any:
        """One for each draw of whole groups, or of whole people."""
        names = list(dict.fromkeys(one[key] for one in self.comparisons))
        members = np.array([[one[key] == name for one in self.comparisons] for name in names], dtype=float)
        picks = np.random.default_rng(JUDGE_SEED).integers(0, len(names), (DRAWS, len(names)))
        counts = [np.bincount(chosen, minlength=len(names)) @ members for chosen in picks]
        return np.array([_slope(self.margins, weights) for weights in counts])

    def mean(self, pairs: list[tuple[float, int]]) -> tuple[float, float, float]:
        """The mean probability, with bounds from resampling prompts and comparisons."""
        if not self.comparisons:
            return 0.5, 0.0, 1.0
        differences = np.array([difference for difference, _prompt in pairs])
        order = list(dict.fromkeys(prompt for _difference, prompt in pairs))
        members = np.array([[prompt == one for _difference, prompt in pairs] for one in order], dtype=float)
        picks = np.random.default_rng(SEED).integers(0, len(order), (DRAWS, len(order)))
        sizes = members.sum(1)
        bounds = []
        for slopes in self.slopes:
            sums = _sigmoid(slopes[:, None] * differences) @ members.T
            means = np.take_along_axis(sums, picks, 1).sum(1) / sizes[picks].sum(1)
            bounds.append(np.quantile(means, [0.025, 0.975]))
        value = float(_sigmoid(self.slope * differences).mean())
        return value, float(min(low for low, _ in bounds)), float(max(high for _, high in bounds))

    def error(self, pairs: list[tuple[float, int]]) -> float:
        """What the slope alone adds to it, a standard deviation."""
        differences = np.array([difference for difference, _prompt in pairs])
        if not self.comparisons or not len(differences):
            return 0.5
        return float(max(_sigmoid(slopes[:, None] * differences).mean(1).std() for slopes in self.slopes))

    def figures(self) -> Iterable[tuple[str, float | None]]:
        n = len(self.comparisons)
        yield "judge_comparisons", n
        yield "judge_people", len({one["person"] for one in self.comparisons})
        yield "judge_people_simulated", len({one["person"] for one in self.comparisons if one["simulated"]})
        yield "judge_groups", len({one["group"] for one in self.comparisons})
        yield "judge_rule_labels", len(self.labels)
        if not n:
            return
        right = (1 + np.sign(self.margins)) / 2
        found = [_interval(list(zip(right, names, strict=True))) for names in self._names()]
        yield "judge_accuracy", found[0][0]
        yield "judge_accuracy_low", min(low for _, low, _ in found)
        yield "judge_accuracy_high", max(high for _, _, high in found)
        between = [np.quantile(slopes, [0.025, 0.975]) for slopes in self.slopes]
        yield "judge_slope", self.slope
        yield "judge_slope_low", float(min(low for low, _ in between))
        yield "judge_slope_high", float(max(high for _, high in between))
        yield from self._reliability(right)
        for rule in sorted({one["rule"] for one in self.labels}):
            yield f"judge_rule_auc.{rule}", _auc([one for one in self.labels if one["rule"] == rule])

    def _names(self) -> list[list[Any]]:
        return [[one[key] for one in self.comparisons] for key in ("group", "person")]

    def _reliability(self, right: Any) -> Iterable[tuple[str, float | None]]:
        """How sure it is by the slope of the other folds, in bins of equal size, and how often it is right."""
        folds = np.array([one["fold"] for one in self.comparisons])
        slopes = {fold: _slope(self.margins[folds != fold], np.ones((folds != fold).sum())) for fold in set(folds)}
        sure = _sigmoid(np.abs(self.margins) * np.array([slopes[fold] for fold in folds]))
        n = len(sure)
        bins = np.array_split(np.argsort(sure, kind="stable"), max(1, min(BINS, n // LEAST_IN_A_BIN)))
        for number, part in enumerate(bins, start=1):
            yield f"judge_reliability.{number}.n", len(part)
            yield f"judge_reliability.{number}.predicted", float(sure[part].mean())
            yield f"judge_reliability.{number}.right", float(right[part].mean())
        yield "judge_ece", float(sum(len(p) * abs(sure[p].mean() - right[p].mean()) for p in bins)) / n


def _slope(margins: Any, weights: Any) -> float:
    """The most likely slope of sigmoid(slope * margin), with Platt's target (N + 1) / (N + 2), by Newton's method."""
    scale = float(np.sqrt(np.mean(margins**2))) if len(margins) else 0.0
    if scale == 0.0:
        return 0.0
    x, target, slope = margins / scale, (weights.sum() + 1) / (weights.sum() + 2), 0.0
    for _ in range(100):
        likely = _sigmoid(slope * x)
        bend = (weights * likely * (1 - likely) * x**2).sum()
        step = (weights * (target - likely) * x).sum() / bend if bend > 0 else 0.0
        slope += step
        if abs(step) < 1e-12:
            break
    return float(slope / scale)


def _sigmoid(values: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _auc(labels: list[Row]) -> float | None:
    """How often a reply that breaks the rule has the higher probability, of all pairs; equal ones count one half."""
    broken = np.array([one["probability"] for one in labels if one["violates"]])
    kept = np.array([one["probability"] for one in labels if not one["violates"]])
    if not len(broken) or not len(kept):
        return None
    return float(((1 + np.sign(broken[:, None] - kept)) / 2).mean())


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
