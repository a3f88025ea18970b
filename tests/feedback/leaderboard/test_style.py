"""Style of replies: what is counted as a list item, a heading or bold, and how two replies differ."""

import numpy as np
import pytest

from feedback.leaderboard.style import Style, difference, scaled, style_of

TEXT = """# Birds

**Sparrows** hop, __larks__ climb.

- seed
* worm
  + crumb
12. egg
"""


def test_markdown_is_counted():
    assert style_of(TEXT) == Style(len(TEXT), lists=4, headings=1, bold=2)


@pytest.mark.parametrize("text", ["2 * 3 - 1", "#tag", "a -- b", "**", "-", "1.5 litres", "snake_case__name"])
def test_signs_in_a_sentence_are_no_markdown(text):
    assert style_of(text) == Style(len(text), 0, 0, 0)


def test_markdown_within_code_is_code():
    code = "```sh\n# a comment\n- not a list\n```\n"
    assert style_of(code + "- one") == Style(len(code) + 5, lists=1, headings=0, bold=0)
    assert style_of("```\n# never closed").headings == 0


def test_a_difference_is_relative_to_what_both_have():
    assert difference("- a\n- b\n- c", "- a") == Style(length=8 / 14, lists=0.5, headings=0, bold=0)
    assert difference("", "# a").headings == -1
    assert difference("", "") == Style(0, 0, 0, 0)


def test_features_are_scaled_to_one_standard_deviation_and_not_shifted():
    made = scaled(np.array([[0.2, 0.0], [0.6, 0.0]]))
    assert made[:, 0] == pytest.approx([1.0, 3.0])
    assert made[:, 1].tolist() == [0, 0]
    assert scaled(np.zeros((0, 4))).shape == (0, 4)
