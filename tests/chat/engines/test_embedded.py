"""The engine of a policy is chosen by its files, where the environment names none."""

import pytest

from chat import policies
from chat.engines.llamacpp import LlamaCppEngine
from chat.engines.loading import engine_for, title_of
from chat.engines.openai import OpenAIEngine
from chat.engines.transformers import TransformersEngine
from chat.errors import BadPolicy
from chat.models import Policy
from tests.chat.policies import install

pytestmark = pytest.mark.django_db


def test_a_policy_with_a_gguf_file_is_served_by_llama_cpp_and_one_without_by_transformers(tiny_policy):
    policy = install(tiny_policy, "with-gguf")
    assert (type(engine_for(policy)), title_of(policy)) == (LlamaCppEngine, "llama.cpp")
    (policies.directory(policy) / "policy.gguf").unlink()
    assert (type(engine_for(policy)), title_of(policy)) == (TransformersEngine, "transformers")


def test_an_engine_that_the_environment_names_serves_every_policy(tiny_policy, settings):
    settings.CHAT_ENGINE = "chat.engines.openai.OpenAIEngine"
    policy = install(tiny_policy, "elsewhere")
    assert type(engine_for(policy)) is OpenAIEngine
    assert title_of(policy)


@pytest.mark.parametrize("directory", ["", "../outside", "gone"])
async def test_a_policy_without_files_gets_an_engine_that_says_so_when_it_starts(directory):
    engine = engine_for(Policy(name="lost", version=1, directory=directory))
    with pytest.raises(BadPolicy):
        await engine.start("key")


def test_the_page_of_a_policy_names_its_engine(client, tiny_policy, django_user_model):
    policy = install(tiny_policy, "shown")
    (policies.directory(policy) / "policy.gguf").unlink()
    client.force_login(django_user_model.objects.create_user("reader"))
    page = client.get(f"/training/policies/{policy.name}/").content.decode()
    assert "<dt>Engine</dt><dd>transformers</dd>" in page
