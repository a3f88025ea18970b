"""What a decision adds to an evaluation's report before the gate is asked."""

import json

import pytest

from chat.models import Policy
from rlhf.release import decision
from tests.rlhf.policy_directories import write_policy


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (None, 0.0),  # from before the file was measured: it has the weights as they are
        ({"type": "q8_0", "kl_nats": 0.0015, "same_token": 0.97}, 0.0015),
        ({"type": "q8_0"}, None),
    ],
)
def test_the_gate_is_told_how_far_the_file_that_answers_is_from_the_weights(home, settings, figures, told):
    directory = write_policy(settings.MODELS_DIR / "mine")
    if figures is not None:
        (directory / "served.json").write_text(json.dumps(figures))
    assert decision.served_kl_nats(Policy(directory="mine")) == told
