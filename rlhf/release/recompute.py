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
Chances = list[list[float]]
"""Of the replies to each prompt."""


def main(path: str) -> int:
    report = json.loads(Path(path).read_text())
    if report["replies"] is None:
        sys.stderr.write("the report holds no replies: the files of its run were removed or changed\n")
        return 2
    if "judge_slope" in report["figures"] and report.get("judgements") is None:
        sys.stderr.write("the report lacks what its judge said of held-out judgements: that file was removed\n")
        return 2
    wrong = 0
    files = report.get("judgements"), report.get("violation_labels")
    found = list(recomputed(report["replies"], report["figures"], *files))
    found += _by_people(report.get("comparisons") or [], report["replies"], report["figures"].get("people") or {})
    for name, value in found:
        if "violations_by" not in report["figures"] and not _is_told(report["figures"], name):
            continue  # a report from before this figure was
        told = _told(report["figures"], name)
        same = told is value or (told is not None and value is not None and abs(told - value) <= TOLERANCE)
        wrong += not same
        sys.stdout.write(f"{'same ' if same else 'WRONG'}  {name}: {told} reported, {value} recomputed\n")
    for name, told, value in _bounds(report):
        same = abs(told - value) <= TOLERANCE
        wrong += not same
        sys.stdout.write(f"{'same ' if same else 'WRONG'}  {name}: {told} decided by, {value} recomputed\n")
    return 1 if wrong else 0


def _bounds(report: dict[str, Any]) -> Iterable[tuple[str, float, float]]:
    """(condition, bound that the gate compared with its limit, recomputed): at the level of this decision."""
    figures, level = report["figures"], report["evaluation"].get("level")
    decided = {one["code"]: one for one in (report["decision"] or {}).get("conditions", [])}
    cut = figures["controls"]["stop_controlled"]
    for code, share, name, worst in (
        ("win_rate", 1.0, "win_rate", 0.0),
        ("first_sentence", 0.5, "first_sentence_margin", -1.0),
    ):
        told, se, mean = decided.get(code, {}).get("value"), figures.get(f"{name}_se"), figures.get(name)
        if code == "win_rate" and (people := _people_s(figures)) is not None:
            mean, se = people["win_rate"], people["se"]
        if told is None or level is None or se is None or mean is None:
            continue
        value = _lower_bound(mean, se, figures["prompts"], level * share, worst)
        if decided[code]["text"].endswith("first sentences alone"):
            value = _lower_bound(cut["win_rate"], cut["se"], figures["prompts"], level * share, 0.0)
        yield f"bound of {code}", told, value


def _people_s(figures: dict[str, Any]) -> dict[str, Any] | None:
    """What the gate was asked about in place of the judge's win rate: people's where they decided, else both
    combined where that was computed."""
    people = figures.get("people") or {}
    found = people if people.get("decides") else people.get("combined")
    return found if found and found["win_rate"] is not None else None


def _lower_bound(mean: float, se: float, n: int, level: float, worst: float) -> float:
    """Student's, over prompts and one more at the worst value."""
    squares = (n - 1) * n * se * se + n / (n + 1) * (mean - worst) ** 2
    return (n * mean + worst) / (n + 1) - _t(level, n) * float(np.sqrt(squares / n / (n + 1)))


def _t(tail: float, freedom: int) -> float:
    """What Student's distribution exceeds with that probability, by bisection of its density's integral.

    T / sqrt(freedom) is the tangent of an angle with a density in proportion to cos^(freedom - 1).
    """
    x, weights = np.polynomial.legendre.leggauss(200)

    def share(angle: float) -> float:
        """From the angle to a right one."""
        half = (np.pi / 2 - angle) / 2
        return float(half * (weights * np.cos(angle + half * (x + 1)) ** (freedom - 1)).sum())

    whole, low, high = 2 * share(0.0), 0.0, np.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) > tail * whole else (low, middle)
    return float(np.tan((low + high) / 2) * freedom**0.5)


def recomputed(
    every: list[Reply],
    figures: dict[str, Any],
    judgements: list[Row] | None = None,
    labels: list[Reply] | None = None,
) -> Iterable[tuple[str, float | None]]:
    """(name, value) of each figure that follows from the replies and from what the judge said of held-out judgements;
    a part of a name after a dot is a key within."""
    judge = None if judgements is None else MeasuredJudge(judgements)
    if "violations_by" in figures:
        yield from _violations(every, figures, labels)
    replies = [reply for reply in every if not reply.get("for_violations")]
    after, before = _side(replies, "after"), _side(replies, "before")
    best = _side(replies, "best_of")
    draws = 1 + max(reply["draw"] for reply in after if reply["competes"])
    competing, standing = [r for r in after if r["competes"]], [r for r in before if r["competes"]]
    other = [{**r, "draw": r["draw"] - draws} for r in before if not r["competes"]]
    whole, cut = "score", "first_sentence_score"
    won = _differences(competing, standing, whole, whole)
    cut_won = _differences(competing, standing, cut, cut)
    shortened = _differences(other, standing, cut, whole)
    yield from _preferred("win_rate", "win_rate_", won, judge)
    yield "win_rate_se", _se(won, judge)
    yield from _margin("first_sentence_margin", won, shortened, judge)
    yield "controls.stop_controlled.se", _se(cut_won, judge)
    if judge is not None:
        yield "win_rate_judge_sd", judge.error(won)
        yield from judge.figures()
    for name, pairs in {
        "null": _differences(other, standing, whole, whole),
        "first_sentence": shortened,
        "best_of_8": _differences(best, standing, whole, whole),
        "stop_controlled": cut_won,
    }.items():
        yield from _preferred(f"controls.{name}.win_rate", f"controls.{name}.", pairs, judge)
    yield from _texts(after, before, _side(replies, "base") or before)
    anchor = _side(replies, "anchor")
    if anchor:
        yield from _against_anchor(after, anchor)
    if "odd_share" in figures:  # of version 0.3 and later
        yield from _tails(after, anchor or _side(replies, "base") or before, "anchor_" if anchor else "")


def _violations(
    replies: list[Reply], figures: dict[str, Any], labels: list[Reply] | None
) -> Iterable[tuple[str, float | None]]:
    """A gold judge's figures are shares; of any other they are corrected by the labels (Rogan & Gladen 1978)."""
    of = _Violations(figures, labels)
    sides = {side: _side(replies, side) for side in ("before", "after", "anchor")}
    picked = {side: [r for r in of if r["elicits"] is not None] or of for side, of in sides.items()}
    common = [r for r in sides["before"] + sides["after"] if not r["for_violations"]]
    whole, cut = "chances", "first_sentence_chances"

    yield from of.rise("violation_rise", picked["after"], picked["before"])
    for side in ("before", "after"):
        yield from of.rate(f"violation_rate_{side}", picked[side], whole)
        yield from of.rate(f"first_sentence_violation_rate_{side}", picked[side], cut)
        yield from of.rate(f"all_prompts_violation_rate_{side}", [r for r in common if r["side"] == side], whole)
        yield from of.rate_by_rule(f"violation_rate_by_rule_{side}", picked[side])
    if sides["anchor"]:
        yield from of.rate("anchor_violation_rate", picked["anchor"], whole)
        yield from of.rise("anchor_violation_rise", picked["after"], picked["anchor"])


class _Violations:
    def __init__(self, figures: dict[str, Any], labels: list[Reply] | None) -> None:
        self.rules, self.method = list(figures["violation_labels"]), figures["violations_by"]
        self.known = {rule: _labels(labels, rule) for rule in ("", *self.rules)}

    def rate(self, name: str, replies: list[Reply], key: str) -> Iterable[tuple[str, float | None]]:
        found: tuple[float | None, ...] = (None, None, None)
        if self.method == "exact":
            found = _interval([(max(r[key].values(), default=0.0), r["prompt"]) for r in replies])
        elif self.method == "labels":
            found = _corrected_rate([_rates(_chances(replies, key, ""), self.known[""])])
        elif self.method == "bound":
            found = _corrected_rate(self._of_rules(replies, key))
        yield from zip((name, f"{name}_low", f"{name}_high"), found, strict=True)

    def rise(self, name: str, ours: list[Reply], theirs: list[Reply]) -> Iterable[tuple[str, float | None]]:
        key = "chances"
        found: tuple[float | None, ...] = (None, None, None, None)
        if self.method in ("exact", "labels"):
            found = _rise(_chances(ours, key, ""), _chances(theirs, key, ""), self.known[""])
        elif self.method == "bound":
            found = _rise_of_any(self._of_rules(ours, key), self._of_rules(theirs, key))
        yield from zip((name, f"{name}_low", f"{name}_high", f"{name}_upper"), found, strict=True)

    def rate_by_rule(self, name: str, replies: list[Reply]) -> Iterable[tuple[str, float | None]]:
        for rule in self.rules:
            known = self.known[rule]
            yield f"{name}.{rule}", None if known is None else _rates(_chances(replies, "chances", rule), known)[0]

    def _of_rules(self, replies: list[Reply], key: str) -> list[tuple[float, Any, Any]]:
        return [_rates(_chances(replies, key, rule), self.known[rule]) for rule in self.rules]


def _chances(replies: list[Reply], key: str, rule: str) -> Chances:
    """Of the replies to each prompt the chance that the rule is broken, the largest of all rules for no rule."""
    found: dict[int, list[float]] = {}
    for reply in replies:
        chance = reply[key][rule] if rule else max(reply[key].values(), default=0.0)
        found.setdefault(reply["prompt"], []).append(chance)
    return list(found.values())


def _labels(labels: list[Reply] | None, rule: str) -> Any:
    """[4, labelled prompts]: sum of chances and number of broken replies, then of sound ones. None: too few."""
    if labels is None:
        return np.array([[1.0], [1.0], [0.0], [1.0]])  # never wrong
    sums = np.zeros((4, 1 + max((one["prompt"] for one in labels), default=0)))
    for one in labels:
        seen = [one["labels"][key] for key in one["chances"] if key in one["labels"]]
        is_whole = seen and (len(seen) == len(one["chances"]) or max(seen) >= 0.5)
        label = one["labels"].get(rule) if rule else max(seen) if is_whole else None
        if label is not None:
            chance = one["chances"][rule] if rule else max(one["chances"].values())
            sums[:, one["prompt"]] += (chance * label, label, chance * (1 - label), 1 - label)
    total = sums.sum(1)
    is_enough = total[1] >= 5 and total[3] >= 5 and total[0] / total[1] > total[2] / total[3]
    return sums if is_enough else None


def _picks(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, count, (DRAWS, count))


def _judge(labels: Any) -> tuple[Any, Any, float, float]:
    """What the judge says of sound replies, and how much more of broken ones: resampled, then as it is."""
    picks = _picks(labels.shape[1], SEED + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = [labels[n][picks].sum(1) / labels[n + 1][picks].sum(1) for n in (0, 2)]
    broken, _, sound, _ = total = labels.sum(1)
    point = sound / total[3]
    return resampled[1], np.nan_to_num(resampled[0] - resampled[1]), point, broken / total[1] - point


def _means(of: Chances) -> tuple[Any, float]:
    total, size = np.array([sum(one) for one in of]), np.array([float(len(one)) for one in of])
    picks = _picks(len(of), SEED)
    return total[picks].sum(1) / size[picks].sum(1), float(total.sum() / size.sum())


def _rates(of: Chances, labels: Any) -> tuple[float, Any, Any]:
    """(rate, [DRAWS] resampled, whether it is known in that draw)."""
    (resampled, mean), (sound, gap, sound_mean, gap_mean) = _means(of), _judge(labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.nan_to_num(np.clip((resampled - sound) / gap, 0, 1))
    return min(1.0, max(0.0, (mean - sound_mean) / gap_mean)), draws, gap > 0


def _corrected_rate(rules: list[tuple[float, Any, Any]]) -> tuple[float, float, float]:
    total, is_known = np.minimum(1, sum(rule[1] for rule in rules)), np.all([rule[2] for rule in rules], axis=0)
    low, high = (float(np.quantile(np.where(is_known, total, end), q)) for end, q in ((0.0, 0.025), (1.0, 0.975)))
    return min(1.0, sum(rule[0] for rule in rules)), low, high


def _rise(after: Chances, before: Chances, labels: Any) -> tuple[float, float, float, float]:
    (ours, mean), (theirs, other), (_sound, gap, _point, gap_mean) = _means(after), _means(before), _judge(labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.nan_to_num(np.clip((ours - theirs) / gap, -1, 1))
    return _rise_bounds((mean - other) / gap_mean, draws, gap > 0)


def _rise_of_any(
    after: list[tuple[float, Any, Any]], before: list[tuple[float, Any, Any]]
) -> tuple[float, float, float, float]:
    draws = np.minimum(1, sum(rule[1] for rule in after)) - np.max([rule[1] for rule in before], axis=0)
    value = min(1.0, sum(rule[0] for rule in after)) - max(rule[0] for rule in before)
    return _rise_bounds(value, draws, np.all([rule[2] for rule in after + before], axis=0))


def _rise_bounds(value: float, draws: Any, is_known: Any) -> tuple[float, float, float, float]:
    most, least = np.where(is_known, draws, 1.0), np.where(is_known, draws, -1.0)
    bounds = [float(np.quantile(draws, q)) for draws, q in ((least, 0.025), (most, 0.975), (most, 0.95))]
    return min(1.0, max(-1.0, value)), bounds[0], bounds[1], bounds[2]


def _by_people(
    answers: list[Reply], replies: list[Reply], told: dict[str, Any]
) -> Iterable[tuple[str, float | None]]:
    """Of the blind comparisons: alone and, where the report has that, together with the judge's scores."""
    if not told:
        return
    yield "people.n", len(answers)
    yield "people.people", len({answer["person"] for answer in answers})
    yield "people.simulated", sum(answer["simulated"] for answer in answers)
    if not answers:
        yield from dict.fromkeys(("people.win_rate", "people.low", "people.high", "people.se")).items()
        return
    alone = _wider(*(_interval([(a["won"], a[key]) for a in answers]) for key in ("person", "prompt")))
    yield from _with_error("people", alone)
    if not told.get("combined"):
        return
    judged = _likely(
        _differences(_competing(replies, "after"), _competing(replies, "before"), "score", "score"), None
    )
    seen = {answer["prompt"] for answer in answers}
    rest = [(won, prompt) for won, prompt in judged if prompt not in seen]
    keys = ("person", "prompt")
    if not rest:
        both = alone
    elif min(len({answer[key] for answer in answers}) for key in keys) < 2:  # how much they differ is not known
        both = float(np.mean([answer["won"] for answer in answers])), 0.0, 1.0
    else:
        both = _wider(*(_powered(answers, rest, key) for key in keys))
    yield from _with_error("people.combined", both)


def _with_error(name: str, found: tuple[float, float, float]) -> Iterable[tuple[str, float | None]]:
    """Bounds within 0..1, and the standard error of those before that."""
    value, low, high = found
    yield f"{name}.win_rate", value
    yield f"{name}.low", max(0.0, low)
    yield f"{name}.high", min(1.0, high)
    yield f"{name}.se", (high - low) / 2 / Z95


def _competing(replies: list[Reply], side: str) -> list[Reply]:
    return [reply for reply in _side(replies, side) if reply["competes"]]


def _powered(answers: list[Reply], rest: list[tuple[float, int]], key: str) -> tuple[float, float, float]:
    """The mean of what people said, corrected by what the judge says of pairs that nobody compared, by clusters:
    prediction-powered inference with the weight of least variance (arXiv:2301.09633, arXiv:2311.01453)."""
    said = _errors([(answer["won"], (key, answer[key])) for answer in answers])
    guessed = _errors([(answer["predicted"], (key, answer[key])) for answer in answers])
    others = _errors([(value, ("prompt", prompt)) for value, prompt in rest])
    names = {*said, *others}
    apart = {name: guessed.get(name, 0.0) - others.get(name, 0.0) for name in names}
    spread = sum(part**2 for part in apart.values())
    common = sum(said.get(name, 0.0) * apart[name] for name in names)
    weight = min(1.0, max(0.0, common / spread)) if spread > 0 else 0.0
    truth, known, unknown = (
        float(np.mean(values))
        for values in ([a["won"] for a in answers], [a["predicted"] for a in answers], [value for value, _ in rest])
    )
    value = truth + weight * (unknown - known)
    error = float(np.sqrt(sum((said.get(name, 0.0) - weight * apart[name]) ** 2 for name in names)))
    half = _t(0.025, len(said) - 1) * error
    return value, value - half, value + half


def _errors(values: list[tuple[float, Any]]) -> dict[Any, float]:
    """Each cluster's part of the error of the mean; the sum of their squares is its variance."""
    middle = float(np.mean([value for value, _ in values]))
    found: dict[Any, float] = {}
    for value, cluster in values:
        found[cluster] = found.get(cluster, 0.0) + value - middle
    scale = (len(found) / max(1, len(found) - 1)) ** 0.5 / len(values)
    return {cluster: part * scale for cluster, part in found.items()}


def _wider(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    return one[0], min(one[1], other[1]), max(one[2], other[2])


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
    yield from _named(name, bounds, _likely(pairs, judge))


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

    def error(self, pairs: list[tuple[float, int]], less: list[tuple[float, int]] | None = None) -> float:
        """What the slope alone adds to the mean, or to the mean less that of others: a standard deviation."""
        if not self.comparisons or not pairs:
            return 0.5
        ours, theirs = (np.array([difference for difference, _prompt in of]) for of in (pairs, less or []))
        found = []
        for slopes in self.slopes:
            means = _sigmoid(slopes[:, None] * ours).mean(1)
            found.append((means - _sigmoid(slopes[:, None] * theirs).mean(1) if len(theirs) else means).std())
        return float(max(found))

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


def _likely(pairs: list[tuple[float, int]], judge: "MeasuredJudge | None") -> list[tuple[float, int]]:
    """1 for a win, 0.5 for a tie, 0 for a loss; of a judge that errs, the probability that a person prefers it."""
    if judge is None:
        return [((1 + np.sign(difference)) / 2, prompt) for difference, prompt in pairs]
    return [(float(_sigmoid(judge.slope * difference)), prompt) for difference, prompt in pairs]


def _margin(
    name: str, ones: list[tuple[float, int]], others: list[tuple[float, int]], judge: "MeasuredJudge | None"
) -> Iterable[tuple[str, float | None]]:
    """On each prompt the share of wins of the ones less that of the others."""
    order = list(dict.fromkeys(prompt for _value, prompt in others))
    sides = [_likely(ones, judge), _likely(others, judge)]
    means = [{p: float(np.mean([v for v, q in of if q == p])) for p in order} for of in sides]
    values = [(means[0][prompt] - means[1][prompt], prompt) for prompt in order]
    se = _spread(values)
    if judge is None:
        yield from _named(name, f"{name}_", values)
    elif se is not None:
        se = float(np.hypot(se, judge.error(ones, others)))
        mean = float(np.mean([value for value, _prompt in values]))
        yield from zip((name, f"{name}_low", f"{name}_high"), (mean, mean - Z95 * se, mean + Z95 * se), strict=True)
    yield f"{name}_se", se


def _se(pairs: list[tuple[float, int]], judge: "MeasuredJudge | None") -> float | None:
    """Over whole prompts, with the judge's error."""
    se = _spread(_likely(pairs, judge))
    return se if se is None or judge is None else float(np.hypot(se, judge.error(pairs)))


def _spread(values: list[tuple[float, int]]) -> float | None:
    """The standard error of the mean over whole prompts, all of which have as many values."""
    order = list(dict.fromkeys(prompt for _value, prompt in values))
    means = [float(np.mean([value for value, prompt in values if prompt == one])) for one in order]
    return float(np.std(means, ddof=1)) / len(means) ** 0.5 if len(means) > 1 else None


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


def _is_told(figures: dict[str, Any], name: str) -> bool:
    try:
        _told(figures, name)
    except KeyError:
        return False
    return True


def _told(figures: dict[str, Any], name: str) -> Any:
    value: Any = figures
    for key in name.split("."):
        value = value[key]
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
