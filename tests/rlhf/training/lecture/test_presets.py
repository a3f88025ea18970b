"""The sizes of GPTs: the formula against transformers' own models, and against the published counts."""

import pytest

from rlhf.training.lecture import presets
from rlhf.training.lecture.presets import PRESETS


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt1", 116_534_784),
        ("gpt2", 1_557_611_200),
        ("gpt3", 174_604_259_328),
        ("bert-base", 109_482_240),
        ("gpt3-125m", 125_226_240),
        ("gpt3-350m", 355_871_744),
        ("gpt3-1.3b", 1_315_723_264),
    ],
)
def test_the_counts_are_the_known_ones(name, parameters):
    assert PRESETS[name].parameters == parameters


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_formula_counts_what_transformers_builds(name):
    assert PRESETS[name].parameters == presets.counted(PRESETS[name])
