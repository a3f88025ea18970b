"""The live policy's column against transformers: the next token's probabilities and that of the whole prompt."""

import asyncio

import pytest
import torch
from transformers import AutoModelForCausalLM

from chat import policies
from chat.inspection import scoring, token_views
from chat.inspection.client import Inspector
from chat.prompts.history import renderer_of
from lecture import live_policy
from rlhf.release import promotion
from tests.people import make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def live(tiny_policy, settings, tmp_path):
    settings.MODELS_DIR = tiny_policy.parent
    policy = policies.register(tiny_policy, name="tiny", source="test")
    promotion.make_first_live(policy)
    return policy


async def test_it_is_what_transformers_computes(live, tiny_policy, monkeypatch):
    async def score(person, policy, ids, top):
        """As the talker's worker does, without the talker."""
        job = scoring.ScoringJob(None, policy, ids, top)
        encoded = await asyncio.to_thread(scoring.encode, job)
        inspector = Inspector()
        try:
            seen = await inspector.logprobs(
                encoded.directory, encoded.prompt, [n for n, _ in encoded.completion], top
            )
        finally:
            await inspector.close()
        return [scoring._token(one) for one in token_views.described(encoded, seen)]

    monkeypatch.setattr(scoring, "score", score)
    person = await asyncio.to_thread(make_person, "reader")
    column = await live_policy.column(person, "The king of the")
    ids = [number for number, _ in renderer_of(live).document("The king of the")]
    model = AutoModelForCausalLM.from_pretrained(tiny_policy, dtype=torch.float32)
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    best = logprobs[-1].exp().topk(8).values.tolist()
    assert [guess.probability for guess in column.guesses] == pytest.approx(best, rel=1e-4)
    begins = len(renderer_of(live).start)
    told = sum(logprobs[n - 1, ids[n]].item() for n in range(max(1, begins), len(ids)))
    assert column.log10 == pytest.approx(told / torch.log(torch.tensor(10.0)).item(), rel=1e-4)
    assert "".join(text for text, _ in column.tokens) == "The king of the"
