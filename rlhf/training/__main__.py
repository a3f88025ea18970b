"""`python -m rlhf.training STAGE RUN_DIR`: one stage as a process of its own."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rlhf.training.run import RunDirectory

STAGES = {
    "fetch": "rlhf.training.artefacts.fetch",
    "reward_model": "rlhf.training.reward.stage",
    "judge": "rlhf.training.reward.cross_fit",
    "policy": "rlhf.training.policy.stage",
    "evaluate": "rlhf.training.evaluation.stage",
    "fine_tune": "rlhf.training.fine_tuning.stage",
    "lecture": "rlhf.training.lecture.stage",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rlhf.training", description=__doc__)
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("run_dir", type=Path, help="holds config.json; everything else is written here")
    options = parser.parse_args(arguments)
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    from rlhf.training import run  # torch is not needed to print the usage

    def stage(found: "RunDirectory") -> Mapping[str, Any]:
        # Imported inside, so that a missing library is reported like any other error.
        from rlhf.training.tokens import ChatTokenizer

        ChatTokenizer.thinks = found.thinks
        result: Mapping[str, Any] = importlib.import_module(STAGES[options.stage]).run(found)
        return result

    return run.execute(stage, options.run_dir)


def end(code: int) -> NoReturn:
    """Exit; one of several at once, for threads of their connection may crash an interpreter that is taken apart, or
    wait in it for others that are gone."""
    from rlhf.training import processes

    if processes.expected() > 1:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    end(main())
