"""`python -m rlhf.training STAGE RUN_DIR`: one stage as a process of its own."""

import argparse
import importlib
import logging
import sys
from pathlib import Path

STAGES = {
    "fetch": "rlhf.training.artefacts.fetch",
    "reward_model": "rlhf.training.reward.stage",
    "judge": "rlhf.training.reward.cross_fit",
    "policy": "rlhf.training.policy.stage",
    "evaluate": "rlhf.training.evaluation.stage",
    "fine_tune": "rlhf.training.fine_tuning.stage",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rlhf.training", description=__doc__)
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("run_dir", type=Path, help="holds config.json; everything else is written here")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    from rlhf.training import run  # torch is not needed to print the usage

    # Imported inside, so that a missing library is reported like any other error.
    return run.execute(lambda found: importlib.import_module(STAGES[options.stage]).run(found), options.run_dir)


if __name__ == "__main__":
    sys.exit(main())
