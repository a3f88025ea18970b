"""What Chamsae's own Llama computes, by a config.json that anybody may have written."""

import pytest

from base.own_llama import obstacle

LLAMA = {"model_type": "llama"}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, None),
        ({"rope_scaling": None}, None),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, None),
        ({"rope_parameters": {"rope_type": "llama3"}}, None),
        ({"rope_scaling": {"type": "yarn"}}, ("rope_type", "yarn")),
        ({"rope_scaling": "linear"}, ("rope_scaling", "linear")),
        ({"mlp_bias": True}, ("mlp_bias", True)),
        ({"model_type": "qwen3"}, ("model_type", "qwen3")),
    ],
)
def test_the_first_field_that_it_does_not_compute_is_named(config, found):
    assert obstacle(LLAMA | config) == found
