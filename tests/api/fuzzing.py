"""Sends generated requests, valid and invalid, and checks the answers against the OpenAPI document."""

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PATIENCE_S = 60
"""A request may ask for ten completions of each of many prompts, at two seconds each: the usual 10 s are too few."""


def fuzz(schema, secret, examples, *, derandomize=False):
    """With that key, or none. The number of requests."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    operations = [found.ok() for found in schema.get_all_operations()]
    return sum(_fuzz_operation(each, mode, secret, examples, derandomize) for each in operations for mode in modes)


def _fuzz_operation(operation, mode, secret, examples, derandomize):
    asked = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=derandomize,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        nonlocal asked
        asked += 1
        headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
        case.headers = headers | ({"Authorization": f"Bearer {secret}"} if secret else {})
        if mode is GenerationMode.POSITIVE:
            _use_live_model(case)
        response = case.call(**_patience(case))
        case.validate_response(response, checks=CHECKS)
        if not secret:
            assert response.status_code in (401, 404), f"{case.method} {case.path} is open to everybody"

    ask()
    return asked


def _patience(case):
    """An application that is called without a network knows no time-out."""
    return {} if case.operation.app is not None else {"timeout": PATIENCE_S}


def _use_live_model(case):
    """A generated model name does not exist: with a real one the request gets further."""
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = "live"
    if "model" in (case.path_parameters or {}) and case.method != "DELETE":
        case.path_parameters["model"] = "live"


__all__ = ["fuzz", "schemathesis"]
