"""How much of what should be masked is found, and how much of what is masked should be, on a small labelled set.

The sentences are made up. Names that no rule can tell (Xiuying, Thandiwe, 다온) are in it without a label of their
own: they count as missed.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from feedback.masking.masker import _found
from feedback.masking.spans import without_overlaps

SENTENCES = (Path(__file__).parent / "labelled.txt").read_text(encoding="utf-8").splitlines()
LABEL = re.compile(r"\{([A-Z_]+)\|(?:([^|{}]*)\|)?([^|{}]*)\}")
MISSED = ("Xiuying", "Thandiwe", "다온")
LEAST_PRECISION, LEAST_RECALL = 0.95, 0.9


def labelled(line):
    """The text, and its (kind, value) pairs; `{NAME|Mr Thompson|Thompson}` is a value within more text."""
    text, values = line.replace("\\n", "\n"), []
    for match in LABEL.finditer(text):
        values.append((match[1], match[3]))
    text = LABEL.sub(lambda match: match[2] or match[3], text)
    return text, values + [("NAME", name) for name in MISSED if name in text]


def figures(lines):
    hits = found_in_all = wanted_in_all = 0
    wrong = []
    for line in lines:
        text, values = labelled(line)
        found = Counter((span.kind.value, text[span.start : span.end]) for span in without_overlaps(_found(text)))
        wanted = Counter(values)
        hits += sum((found & wanted).values())
        found_in_all += sum(found.values())
        wanted_in_all += sum(wanted.values())
        wrong += [("not wanted", *one) for one in found - wanted] + [("missed", *one) for one in wanted - found]
    return hits / found_in_all, hits / wanted_in_all, wrong


@pytest.mark.parametrize("language", ["en", "ko"])
def test_precision_and_recall(language):
    lines = [line for line in SENTENCES if (re.search("[가-힣]", line) is not None) == (language == "ko")]
    assert len(lines) > 30
    precision, recall, wrong = figures(lines)
    assert precision >= LEAST_PRECISION, wrong
    assert recall >= LEAST_RECALL, wrong


def test_what_has_a_form_of_its_own_is_found_without_fail():
    kinds = ("EMAIL", "CARD", "ID_NUMBER", "IP", "PHONE")
    _precision, _recall, wrong = figures(SENTENCES)
    assert [one for one in wrong if one[1] in kinds] == []
