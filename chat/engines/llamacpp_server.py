"""The child process of the embedded engine: llama.cpp's server on a free port. Knows no Django.

Started as `python -m chat.engines.llamacpp_server`. It reads one JSON line on stdin (so that the key is in no process
list), writes one with the URL to stdout, and ends when stdin does, so that it is never left behind.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from chat.engines.lifeline import die_with_parent


def serve(config: dict[str, Any]) -> Any:
    """The running server; it answers from threads of its own for as long as the object lives."""
    import xllamacpp

    return xllamacpp.Server(parameters(config))


def parameters(config: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["gguf"]
    params.hostnames = [config["host"]]
    params.port = 0
    params.api_keys = [config["key"]]
    params.cors_origins = "http://127.0.0.1"  # the default allows every origin
    params.ui = False
    params.endpoint_slots = False  # would show the prompts of all
    params.n_ctx = config["context_tokens"] * config["slots"]
    params.n_parallel = config["slots"]
    params.cpuparams.n_threads = config["threads"]
    params.cpuparams_batch.n_threads = config["threads"]
    params.n_threads_http = 2 * config["slots"] + 8  # a stream occupies a thread; health must still answer
    params.cache_ram_mib = 0  # the default keeps up to 8 GiB of old prompts
    params.verbosity = 1
    return params


def main(serve: Callable[[dict[str, Any]], Any] = serve) -> None:
    die_with_parent()
    config = json.loads(sys.stdin.readline())
    server = serve(config)
    print(json.dumps({"url": server.listening_address}), flush=True)  # noqa: T201  the parent reads it
    while sys.stdin.readline():
        pass
    os._exit(0)  # joining the server's threads may wait for running requests


if __name__ == "__main__":
    main()
