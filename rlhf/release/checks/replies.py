"""Whether the candidate's replies, each by itself, are ones that a reader can bear.

Means hide a few bad replies among many good ones, so shares of bad replies have limits, too. They are compared as
estimated, over all prompts of the evaluation, with the interval beside them: the interval of a share of 0 is that of
a count and wider than that of a small one, so that a bound would refuse a spotless candidate where it passes another.
The limits lie so far below a share that must not pass that chance does not carry it through, and so far above one
that may that it is seldom refused: with 160 prompts of 4 replies, 9 % without a sentence is refused and 4 % passes
in at least 95 of 100 evaluations. Seen of the base with another seed: 2 % odd, 2 % without a sentence; asked to be
brief: 9 to 14 % odd, 3 to 4 % without a sentence, 2 % off the topic; cut after the first sentence: 27 % odd, 6 %
without; at temperature 1.3, as single words, as emoji: all odd; with replies to other prompts: all off the topic.
"""

from collections.abc import Iterator

from rlhf.release.checks.reason import Reason, Report, Thresholds, at_most, measured

SHARES = (
    ("odd", "share of replies more surprising to the original base than 99 % of its own", "odd_share"),
    ("no_sentence", "share of replies without a sentence where the original base writes one", "no_sentence_share"),
    (
        "other_script",
        "share of replies in another script than the prompt and the original base's",
        "other_script_share",
    ),
    ("off_topic", "share of replies less bound to their prompt than 99 % of the original base's", "off_topic_share"),
)


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    yield at_most("repetition", "share of repeated 3-grams", candidate.get("repetition"), t["repetition_max"])
    yield at_most("empty", "share of empty replies", candidate.get("empty_rate"), t["empty_rate_max"])
    for code, text, name in SHARES:
        yield measured(at_most(code, text, candidate.get(name), t[f"{name}_max"]), candidate, name)
