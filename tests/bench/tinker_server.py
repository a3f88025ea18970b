"""SkyRL's server of the Tinker protocol, its JAX backend on a CPU; run by the Python of an environment with it.

SkyRL 0.4 starts its engine by `uv run` from a checkout of its own; here the same Python starts it.
"""

import argparse
import sys

import skyrl.tinker.api as api  # type: ignore[import-not-found]
import uvicorn


def _engine(parent: list[str], config: object) -> list[str]:
    return [sys.executable, "-m", "skyrl.tinker.engine", *api.config_to_argv(config)]


api._build_uv_run_cmd_engine = _engine
parser = argparse.ArgumentParser()
api.add_model(parser, api.EngineConfig)
parser.add_argument("--port", type=int)
asked = vars(parser.parse_args())
port = asked.pop("port")
api.app.state.engine_config = api.EngineConfig.model_validate(asked)
uvicorn.run(api.app, host="127.0.0.1", port=port, log_level="warning")
