"""Word vectors of the live policy: sums against torch, by hand, and on the page."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from chat import policies
from chat.prompts.history import renderer_of
from lecture import word_arithmetic
from rlhf.release import promotion
from rlhf.training.lecture.vectors import NoEmbedding, WordVectors
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def live(tiny_policy, settings):
    settings.MODELS_DIR = tiny_policy.parent
    policy = policies.register(tiny_policy, name="tiny", source="test")
    promotion.make_first_live(policy)
    return policy


def test_a_sum_by_hand():
    """King less man is royal alone; with woman it is the queen's direction."""
    man, woman, royal = np.eye(4, dtype=np.float32)[:3]
    rows = np.stack([royal + man, man, woman, royal + woman, np.zeros(4, dtype=np.float32)])
    found = WordVectors(rows).nearest([0, 2], [1])
    assert found[0][0] == 3
    assert {number for number, _ in found} == {3, 4}
    assert WordVectors(rows).nearest([1], [1]) == []


def test_the_policy_s_vectors_are_torch_s(tiny_policy):
    tensors = load_file(tiny_policy / "model.safetensors")
    rows = tensors["model.embed_tokens.weight"].float()
    likeness = torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows[7], dim=0)
    likeness[7] = -2
    best = likeness.topk(8)
    found = WordVectors.of_policy(tiny_policy).nearest([7])
    assert [number for number, _ in found] == best.indices.tolist()
    assert [cosine for _, cosine in found] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_a_folder_without_an_embedding_is_refused(tmp_path):
    with pytest.raises(NoEmbedding):
        WordVectors.of_policy(tmp_path)


def test_a_word_of_several_tokens_is_named(live):
    found = word_arithmetic.add_up("king", "man", "antidisestablishmentarianism")
    assert "antidisestablishmentarianism" in found.split
    assert found.right == []


def test_words_of_one_token_are_added_up(live, client):
    renderer = renderer_of(live)
    words = ("a", "the", "of", "to", "in", "e", "t")
    one = next(word for word in words if len(word_arithmetic._tokens_of(renderer, word)) == 1)
    client.force_login(make_person("reader"))
    page = client.get("/lecture/words/", {"a": one, "b": one, "c": one})
    assert len(page.context["sum"].neighbours) == 8
    assert "In the embedding of tiny" in page.content.decode()


def test_hostile_words_and_no_policy_are_told(client, home):
    client.force_login(make_person("reader"))
    page = client.get("/lecture/words/", {"a": "<script>alert(1)</script>"})
    assert page.status_code == 200
    assert "<script>alert" not in page.content.decode()
    assert page.context["trouble"]
