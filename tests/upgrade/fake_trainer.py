"""A training process of every stage that trains nothing: what it fetches or makes is a copy of what it was given."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fine_tuning import fake_trainer as of_fine_tunes
from tests.rlhf import fake_trainer as of_cycles


def fetch(config, wanted):
    shutil.copytree(config["source"], config["output"])
    return {"source": config["source"]}


if __name__ == "__main__":
    of_cycles.STAGES["fetch"] = fetch
    trainer = of_fine_tunes if sys.argv[1] == "fine_tune" else of_cycles
    sys.exit(trainer.main(sys.argv[1], Path(sys.argv[2])))
