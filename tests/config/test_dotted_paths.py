"""Dotted paths that environments, commands and rows of sites in use may name: each still finds what it found."""

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest
from django.utils.module_loading import import_string

from chat import guards
from chat.engines.engine import Engine
from chat.engines.loading import engine_for
from chat.models import Policy
from feedback import preferences
from rlhf.training.gold import Gold

ENGINES = (
    "chat.engines.llamacpp.LlamaCppEngine",
    "chat.engines.openai.OpenAIEngine",
    "chat.engines.scripted.ScriptedEngine",
    "chat.engines.transformers.TransformersEngine",
)
"""CHAMSAE_ENGINE."""
GUARDS = ("chat.guards.MessageShapeGuard", "feedback.guards.PhraseGuard")
"""CHAMSAE_GUARDS."""
BASES = ("chat.engines.child.ChildEngine", "chat.engines.engine.Engine", "chat.guards.Guard")
"""Classes that an engine or a guard of somebody's own derives from."""
PREFERENCES = (
    "feedback.preferences:finished_and_modest",
    "feedback.preferences:longer",
    "feedback.preferences:overlap",
    "feedback.preferences:shorter",
)
"""`simulate_annotators --preference`; the rows of simulated annotators name them, too."""
VIOLATION_TESTS = (
    "feedback.preferences:claims_a_body",
    "feedback.preferences:claims_a_life",
    "feedback.preferences:claims_closeness",
    "feedback.preferences:claims_feelings",
    "feedback.preferences:claims_to_be_human",
)
"""`simulate_annotators --flags RULE=PATH`."""
NAMED_PREFERENCES = ("finished-and-modest", "shorter", "longer")
PROGRAMS = ("rlhf.training.__main__", "chat.engines.llamacpp_server", "chat.engines.transformers_server")
"""Started by `python -m`: a trainer that RLHF_TRAINER names, and the processes of the embedded engines."""
APPLICATIONS = ("config.asgi.application", "config.celery.app", "config.celery_app")
"""What web servers, workers and process managers are pointed at."""


@pytest.mark.parametrize("path", ENGINES)
def test_an_engine_that_an_environment_names_is_loaded(settings, path):
    settings.CHAT_ENGINE = path
    engine = engine_for(Policy(name="sparrow", version=1))
    assert isinstance(engine, Engine)
    assert f"{type(engine).__module__}.{type(engine).__qualname__}" == path


@pytest.mark.parametrize("path", GUARDS)
def test_a_guard_that_an_environment_names_is_loaded(settings, path):
    settings.CHAT_GUARDS = [path]
    (guard,) = guards.guards()
    assert f"{type(guard).__module__}.{type(guard).__qualname__}" == path


@pytest.mark.parametrize("path", BASES)
def test_what_somebody_s_own_engine_or_guard_derives_from_is_there(path):
    assert inspect.isclass(import_string(path))


@pytest.mark.parametrize("path", PREFERENCES)
def test_a_preference_is_found_by_those_who_judge_and_by_those_who_train(path):
    score = preferences.preference(path)("Why?", "So that it ends well.")
    assert isinstance(score, float)
    gold = Gold.resolve({"preference": path})
    assert gold.preference("Why?", "So that it ends well.") == score


@pytest.mark.parametrize("path", VIOLATION_TESTS)
def test_a_violation_test_is_found_by_those_who_judge_and_by_those_who_train(path):
    assert preferences.violation_test(path)("Who?", "A sparrow is a bird.") is False
    gold = Gold.resolve({"preference": PREFERENCES[0], "flags": {"a-rule": path}})
    assert gold.flags["a-rule"]("Who?", "A sparrow is a bird.") is False


@pytest.mark.parametrize("name", NAMED_PREFERENCES)
def test_a_preference_of_the_site_has_a_name(name):
    assert preferences.preference(name) is preferences.PREFERENCES[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_where_it_is_started_from(name):
    found = importlib.util.find_spec(name)
    assert found is not None
    guarded = [node for node in ast.parse(Path(found.origin).read_text()).body if isinstance(node, ast.If)]
    assert "__name__ == '__main__'" in [ast.unparse(node.test) for node in guarded]


def test_an_embedded_engine_starts_the_program_of_its_name():
    started = {import_string(path).module for path in ENGINES if hasattr(import_string(path), "module")}
    assert started == set(PROGRAMS[1:])


@pytest.mark.parametrize("path", APPLICATIONS)
def test_an_application_is_where_servers_look_for_it(path):
    assert callable(import_string(path)) or import_string(path).main == "chamsae"
