"""Whether the Tinker server can train what is asked for is told before a cycle begins."""

from contextlib import contextmanager

import httpx
import pytest

from rlhf.errors import TinkerUnfit
from rlhf.models import Run
from rlhf.runs import requirements, tinker_server
from rlhf.runs.requirements import Wish

URL = "http://tinker.example:8000"


@pytest.fixture
def server(settings, monkeypatch):
    """What it answers, and what it was asked with."""
    settings.RLHF_TINKER_URL = URL
    settings.RLHF_PLACEMENT = {**settings.RLHF_PLACEMENT, "device": "cpu"}
    told = {"answer": {"supported_models": [{"model_name": "/models/base"}]}, "status": 200}

    def get(url, *, headers, timeout):
        told["asked"] = (url, headers)
        if told["status"] is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(told["status"], json=told["answer"], request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    return told


@contextmanager
def refused(words):
    with pytest.raises(TinkerUnfit, match=words) as caught:
        yield
    assert "CHAMSAE_TINKER_URL" in str(caught.value)


def test_a_server_with_the_base_is_taken_and_asked_with_the_key(server, base_policy, settings):
    settings.RLHF_TINKER_KEY = "secret"
    requirements.refuse(Wish(base_policy, "rloo"))
    assert server["asked"] == (f"{URL}/api/v1/get_server_capabilities", {"X-API-Key": "secret"})


def test_a_server_that_is_away_or_is_none_is_named(server, base_policy):
    server["status"] = None
    with refused("tinker.example:8000 does not respond"):
        requirements.refuse(Wish(base_policy, "grpo"))
    server["status"] = 401
    with refused("CHAMSAE_TINKER_KEY"):
        requirements.refuse(Wish(base_policy, "grpo"))
    server |= {"status": 200, "answer": []}
    with refused("does not speak the protocol"):
        requirements.refuse(Wish(base_policy, "grpo"))


def test_a_server_with_another_base_is_named_with_what_it_has(server, base_policy):
    server["answer"] = {"supported_models": [{"model_name": "Qwen/Qwen3-0.6B"}]}
    with refused(r"has no base, only Qwen/Qwen3-0\.6B"):
        requirements.refuse(Wish(base_policy, "rloo"))


def test_a_live_policy_that_is_an_adapter_is_refused(server, base_policy, monkeypatch):
    monkeypatch.setattr(tinker_server, "adapter_root", lambda policy: None)
    with refused("no way to send it"):
        requirements.refuse(Wish(base_policy, "rloo"))


def test_a_cluster_is_refused(server, base_policy, settings):
    settings.RLHF_LAUNCHER = "ray"
    with refused("CHAMSAE_TRAINER must be local"):
        requirements.refuse(Wish(base_policy, "rloo"))


@pytest.mark.parametrize("algorithm", ["ppo", "dpo", "kto", "sft", "best_of_n"])
def test_other_ways_are_trained_here_whatever_the_server_is(server, base_policy, algorithm):
    server["status"] = None
    requirements.refuse(Wish(base_policy, algorithm))
    assert tinker_server.config(Run(algorithm=algorithm)) == {}


def test_the_training_process_is_told_the_address_and_may_have_the_key(server):
    config = tinker_server.config(Run(algorithm="rloo"))
    assert config == {"tinker": {"url": URL}}
    assert tinker_server.secrets(config) == ("CHAMSAE_TINKER_KEY",)
    assert tinker_server.secrets({}) == ()
